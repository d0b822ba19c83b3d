// The one login of this page. It is used when a person acts, so it ends when nobody does.
import { connect } from "/client.js";
import { actions, button, codeField, dialog, dirty, discards, field, form, h, page, put, say } from "./dom.js";
import { keepChoice, message, seconds, t } from "./words.js";

const WARN = 120_000; // before the end
const USE = 240_000; // after which an act of the person uses the session again

let who; // the user whose page this is
let endsAt = Infinity; // as Date.now() counts
let usedAt = 0; // when the session was used, in whichever tab
let triedAt = 0; // when this tab last tried to use it
let fixed = false; // no use makes it end later: SESSION_MAX
let known = 0; // the end that the person knows of and cannot change
let warning, lock; // the dialogs that are open
let leaving = false;

export const api = connect("", {
  cookie: true,
  onSession: (session) => {
    if (leaving) return;
    if (who && session.user.id !== who.id) return restart();
    // In seconds the end may differ by one. Two refreshes in a row tell nothing.
    if (Date.now() - usedAt > 5_000) fixed = Boolean(who) && !lock && session.endsAt - endsAt < 2_000;
    who = session.user;
    endsAt = session.endsAt;
    usedAt = Date.now();
    if (!fixed) warning?.close();
    lock?.close();
    document.dispatchEvent(new Event("session"));
  },
  onEnd: (code) => {
    if (!who || leaving) return; // the start looks after it
    if (code === "user_changed") restart();
    else if (code === "logged_out") leave("");
    else if (!lock && !unsaved()) leave();
    else end();
  },
});

export const user = () => who;

const ROLES = ["viewer", "editor", "admin"];

// may reports whether the user has a role, or a higher one.
export const may = (role) => ROLES.indexOf(who?.role) >= ROLES.indexOf(role);

// unsaved reports whether the page has typed text that a save has not taken.
export const unsaved = () => Boolean(document.getElementById("main")?.dirty?.()) ||
  [...page().querySelectorAll("dialog, form:not([role=search])")].some(dirty);

// start uses the session of the cookie, and watches over it from then on. It rejects if the server does not answer.
// Without a session it leads to the login, and does not return.
export async function start() {
  try {
    await api.refresh();
  } catch (error) {
    if (error.code !== "refresh_invalid") throw error;
    await keepChoice(() => fetch("/logout", { method: "POST" })); // takes away the cookie of a dead session
    leave();
    await new Promise(() => {});
  }
  for (const act of ["keydown", "pointerdown"]) addEventListener(act, use, { capture: true, passive: true });
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
  addEventListener("visibilitychange", tick);
  setInterval(tick, 1_000);
}

function use() {
  const now = Date.now();
  if (lock || warning || leaving || now - Math.max(usedAt, triedAt) < Math.min(USE, (endsAt - usedAt) / 4)) return;
  triedAt = now;
  api.refresh().catch(() => {}); // the next request tells
}

// tick looks at the clock and does not count: timers stand still while a laptop sleeps.
function tick() {
  if (leaving || lock) return;
  const left = endsAt - Date.now();
  if (left <= 0) end();
  else if (warning) warning.show(left);
  else if (left <= Math.min(WARN, (endsAt - usedAt) / 2) && known !== endsAt) warn(left);
}

let titled; // the title of the page while another one stands for it
function retitle(title) {
  titled ??= document.title;
  document.title = title ?? titled;
  if (!title) titled = undefined;
}

function warn(left) {
  const time = h("strong", { class: "num", "aria-hidden": "true" });
  const heard = h("span", { class: "unseen", role: "status" });
  const stay = async () => {
    if (fixed) known = endsAt;
    if (fixed) return d.close();
    try {
      await api.refresh();
      if (fixed) put(text, t("session.warning_fixed"));
    } catch (error) {
      put(fault, message(error));
    }
  };
  const answer = button(t("session.stay"), stay, { class: "main", autofocus: true });
  const text = h("p", null, fixed ? t("session.warning_fixed") : t("session.warning_text"));
  const fault = h("div", { class: "fault", role: "alert" });
  const d = dialog(t("session.warning"), [text, h("p", { class: "clock" }, time, heard), fault,
    actions(answer, button(t("session.logout"), logout))],
  { alert: true, within: document.body, onEscape: stay });
  let said = Math.ceil(left / 1000);
  retitle(t("session.warning"));
  warning = Object.assign(d, { show(left) {
    const s = Math.ceil(left / 1000);
    put(time, `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`);
    put(answer, fixed ? t("action.close") : t("session.stay"));
    if (said - s >= 30 || (s <= 15 && said > 15)) put(heard, seconds((said = s)));
  } });
  warning.show(left);
  d.closed.then(() => {
    warning = undefined;
    if (!lock) retitle();
  });
}

// end hides what is on the page from whoever looks, and asks for a new login over it. What was typed stays there.
function end() {
  if (lock) return;
  warning?.close();
  const code = codeField();
  code.hidden = true;
  const f = form({
    fields: [
      { name: "user", label: t("field.user"), value: who.user, autocomplete: "username", required: true },
      { name: "password", label: t("field.password"), type: "password", autocomplete: "current-password", required: true },
      code,
    ],
    submit: t("action.login"),
  }, async (values) => {
    try {
      await api.login(values.user, values.password, { code: values.code });
    } catch (error) {
      if (error.code !== "mfa_required" || !code.hidden) throw error;
      reveal(code);
    }
  });
  lock = dialog(t("session.ended"), [h("p", { class: "muted" }, t("session.ended_text")), f],
    { within: document.body, stays: true });
  f.elements.password.focus();
  page().hidden = page().inert = true;
  retitle(t("session.ended"));
  const { close } = lock;
  lock.close = () => {
    page().hidden = page().inert = false;
    retitle();
    lock = undefined;
    close();
  };
}

function reveal(field) {
  field.hidden = false;
  field.querySelector("input").focus();
}

// leave empties the page and leads to the login, which leads back to the place.
function leave(place = location.hash) {
  leaving = true;
  put(document.body);
  location.replace("/login" + place);
}

// restart begins anew, for another user or in another language.
export function restart() {
  leaving = true;
  put(document.body);
  location.reload();
}

export async function logout() {
  if (unsaved() && !(await discards(t("session.logout")))) return;
  try {
    await ending(() => keepChoice(() => api.logout()));
  } catch (error) {
    return say(message(error));
  }
  leave("");
}

// ending calls work, which ends this session. Others may know first.
export async function ending(work) {
  leaving = true;
  try {
    return await work();
  } catch (error) {
    leaving = false;
    if (!api.session) end();
    throw error;
  }
}

// proofFields returns what a change of one's own account demands: the password, and a code if there is a second factor.
export const proofFields = (me) => [
  field({ name: "current", label: t("field.current"), type: "password", autocomplete: "current-password", required: true }),
  me.mfa && codeField(),
].filter(Boolean);

// stepUp returns what work returns. If the server wants a proof that this is the user, it asks for the password (and
// a code, if there is a second factor), and calls work again with { current, code }. It rejects with the code
// "cancelled" if the person would rather not.
export async function stepUp(work) {
  try {
    return await work({});
  } catch (error) {
    if (error.code !== "step_up_required") throw error;
  }
  const { promise, resolve, reject } = Promise.withResolvers();
  const [current, code] = proofFields({ mfa: true });
  code.hidden = true;
  const f = form({
    fields: [current, code], submit: t("action.continue"), cancel: () => d.close(),
  }, async (values) => {
    try {
      resolve(await work(values));
    } catch (error) {
      const faults = (error.errors ?? []).map((fault) => fault.field);
      if (code.hidden && faults.includes("code")) return reveal(code);
      if (faults.includes("current") || faults.includes("code") || [429, 503, undefined].includes(error.status)) throw error;
      reject(error);
    }
    d.close();
  });
  const d = dialog(t("session.proof"), [h("p", { class: "muted" }, t("session.proof_text")), f], { dirty: () => false });
  d.closed.then(() => reject({ code: "cancelled" }));
  return promise;
}
