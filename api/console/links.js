// What a person without a session can do: follow a link of a mail, ask for one, and sign up.
import { solve } from "/client.js";
import { actions, button, field, form, h, notice, put } from "./dom.js";
import { t } from "./words.js";

// linkOf returns the link of a mail that is in the fragment of an address, or undefined.
export function linkOf(hash) {
  const [, kind, token] = /^#(reset|invite|confirm)=(.+)$/.exec(hash) ?? [];
  return kind && { kind, token };
}

// show fills an element with the form of a link. The token leaves the address, so that it is in no history.
export function show(container, { kind, token }) {
  history.replaceState(null, "", location.pathname);
  const [title, text, submit, done] = texts[kind]();
  const confirms = kind === "confirm";
  // A button to confirm as well, because programs that look at mails open links, too.
  const fields = confirms ? [] : [passwordField(t("field.new_password"))];
  fill(container, title, text, form({ fields, submit }, async ({ password }) => {
    try {
      if (confirms) {
        await post("/email/confirm", { token });
        return fill(container, title, done, toLogin(t("action.continue"), "/app/"));
      }
      const { device } = await post("/password/reset", { token, password });
      sessionStorage.setItem(DEVICE, device); // for the next login, which strangers may have made wait
      fill(container, title, done, toLogin(t("action.login"), "/login"));
    } catch (error) {
      if (error.code !== "reset_invalid") throw error; // for the form
      const next = confirms ? toLogin(t("action.login"), "/login") : toLogin(t("login.forgot_submit"), "/login#forgot");
      fill(container, title, null, notice(confirms ? t("login.confirm_stale") : t("login.reset_stale")), next);
    }
  }));
}

const texts = {
  reset: () => [t("login.reset"), t("login.reset_text"), t("login.reset_submit"), t("login.reset_done")],
  invite: () => [t("login.invite"), t("login.invite_text"), t("login.reset_submit"), t("login.invite_done")],
  confirm: () => [t("login.confirm"), t("login.confirm_text"), t("login.confirm_submit"), t("login.confirm_done")],
};

// forgot fills an element with a form for a link to another password.
export function forgot(container, name = "") {
  const title = t("login.forgot");
  const f = form({
    fields: [
      { name: "who", label: t("login.who"), value: name, autocomplete: "username", autocapitalize: "none", required: true },
      status(),
    ], submit: t("login.forgot_submit"),
  }, async ({ who }) => {
    // A user name may look like an email. Then it most likely is.
    await patiently(f, "/password/forgot", who.includes("@") ? { email: who } : { user: who });
    fill(container, title, t("login.forgot_done"), toLogin(t("login.back"), "/login"));
  });
  fill(container, title, t("login.forgot_text"), f, back());
}

// signup fills an element with a form for an account. It calls done with the name and a text to show.
export function signup(container, done) {
  const f = form({
    fields: [
      { name: "user", label: t("field.user"), hint: t("login.user_hint"), autocomplete: "username", autocapitalize: "none",
        spellcheck: false, required: true },
      { name: "email", label: t("field.email"), hint: t("login.email_hint"), type: "email", autocomplete: "email" },
      passwordField(t("field.password")),
      status(),
    ], submit: t("login.signup"),
  }, async ({ user, email, password }) => {
    const account = await patiently(f, "/signup", { user, email, password });
    const { pending_email: pending } = account;
    done(account.user, pending ? t("login.signup_mailed", { email: pending }) : t("login.signup_done"));
  });
  fill(container, t("login.signup_title"), null, f, back());
}

// passwordField returns a field for a new password, which can show what is in it.
function passwordField(label) {
  const e = field({ name: "password", label, type: "password", autocomplete: "new-password", required: true,
    hint: t("login.password_hint") });
  peek(e.querySelector("input"));
  return e;
}

// peek adds a button to a password that shows it.
export function peek(input) {
  const eye = button(t("login.show"), () => {
    const hidden = input.type === "password";
    input.type = hidden ? "text" : "password";
    eye.setAttribute("aria-pressed", String(hidden));
  }, { class: "plain peek", "aria-pressed": "false" });
  if (input.parentElement.matches(".secret")) return input.after(eye); // somebody may be typing into it
  const box = h("div", { class: "secret" });
  input.replaceWith(box);
  put(box, input, eye);
}

// status returns where a form tells what it is doing.
export const status = () => h("div", { class: "puzzle", role: "status" });

// puzzle returns the options of a login or of solve that show how far it is, and let the person cancel it.
export function puzzle(form) {
  const place = form.querySelector(".puzzle");
  const stop = new AbortController();
  const bar = h("progress", { max: 1, "aria-label": t("login.puzzle") });
  const show = () => put(place, h("span", null, t("login.puzzle")), bar,
    button(t("action.cancel"), () => stop.abort(), { class: "plain" }));
  return {
    signal: stop.signal,
    onPuzzle(done) {
      if (!bar.isConnected) show();
      bar.value = done;
      if (done === 1) put(place);
    },
  };
}

// tell takes the progress of a puzzle away. It returns the error that the form shows, and has the button wait with it.
export function tell(form, error) {
  put(form.querySelector(".puzzle"));
  if (error.name === "AbortError") return { code: "cancelled" };
  if (error.status === 429) setTimeout(() => countdown(form, error.retryAfter)); // when the form has enabled it again
  return error;
}

// countdown disables the button of a form for some seconds.
export function countdown(form, seconds) {
  const submit = form.querySelector("button.main");
  const label = submit.textContent;
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    submit.disabled = left > 0;
    submit.textContent = left > 0 ? `${label} (${left})` : label;
    if (left > 0) return;
    clearInterval(timer);
    form.querySelector(".notice")?.remove();
    put(form.querySelector(".puzzle"), t("login.again"));
  };
  const timer = setInterval(tick, 250);
  put(form.querySelector(".puzzle"));
  tick();
}

// patiently is post, but it solves a puzzle if the server wants one.
async function patiently(form, path, body) {
  try {
    return await post(path, body).catch(async (error) => {
      if (!error.challenge) throw error;
      return post(path, { ...body, captcha: await solve(error.challenge, puzzle(form)) });
    });
  } catch (error) {
    throw tell(form, error);
  }
}

// post calls a route for anybody. What client.js has is for people with a session.
async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw Object.assign(new Error("The server cannot be reached."), { code: "network" });
  }
  const answer = response.status === 204 ? {} : await response.json();
  if (response.ok) return answer;
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  throw Object.assign(new Error(answer.message), answer, { status: response.status, retryAfter });
}

function fill(container, title, text, ...children) {
  put(container, h("div", { class: "door" }, h("h1", { tabIndex: -1 }, title), text && h("p", null, text), children));
  document.title = `${title} · clientes`;
  (container.querySelector("input") ?? container.querySelector("h1")).focus();
}

const toLogin = (label, href) => actions(h("a", { class: "button main", href }, label));
const back = () => h("p", { class: "links" }, h("a", { href: "/login" }, t("login.back")));

const DEVICE = "clientes_device"; // as client.js names it
