// The login page. Its form works without this module, which adds what a form cannot do: the code of a second factor on
// the same page, puzzles, and the links of mails.
import { connect } from "/client.js";
import { codeField, field, h, languageChoice, notice, originNotice, put, showFaults } from "./dom.js";
import { countdown, forgot, linkOf, peek, puzzle, show, signup, status, tell } from "./links.js";
import { choose, language, load, t } from "./words.js";

// The storage has no more than the device token of a reset, which is good for one login here: later the cookie has it.
const api = connect("", { cookie: true, storage: sessionStorage });
const main = document.querySelector("main");
const form = document.querySelector("form");
const button = form.querySelector("button.main");
const written = document.documentElement.lang;
let title = document.title;

// The console is where the person wants to go: with a place in the fragment, to that place.
const inside = () => "/app/" + (location.hash.startsWith("#/") ? location.hash : "");

// A link from elsewhere comes without the cookie, although there may be one. A page of ours that leads here knows
// better: otherwise a session that has ended would lead back and forth.
async function hasSession() {
  if (location.search || document.referrer.startsWith(location.origin + "/")) return false;
  return (await fetch("/app/", { method: "HEAD", redirect: "manual" })).ok;
}

async function login(event) {
  event.preventDefault();
  if (button.disabled) return;
  const { user, password, code, remember } = form.elements;
  button.disabled = true;
  form.ariaBusy = "true";
  showFaults(form);
  try {
    await api.login(user.value, password.value,
      { code: code?.value, remember: remember?.checked || undefined, ...puzzle(form) });
    sessionStorage.clear();
    location.replace(inside());
    return;
  } catch (error) {
    explain(tell(form, error));
  }
  button.disabled = false;
  form.ariaBusy = null;
}

function explain(error) {
  const { password, code } = form.elements;
  switch (error.code) {
    case "invalid_login":
      form.querySelector(":scope > .actions").before(notice(t("login.fail")));
      password.select();
      return;
    case "mfa_required":
      if (!code) form.querySelector(".check").before(codeField());
      form.elements.code.focus();
      return;
    case "mfa_invalid":
      showFaults(form, { errors: [{ field: "code", code: "wrong_code" }] });
      code.select();
      return;
  }
  showFaults(form, error);
}

// route shows what the fragment of the address names.
async function route() {
  const link = linkOf(location.hash);
  if (link) return show(main, link);
  if (location.hash === "#forgot") return forgot(main, form.elements.user.value);
  if (location.hash === "#signup" && form.querySelector('[href="#signup"]')) return signup(main, signedUp);
  if (main.contains(form)) return;
  put(main, form);
  document.title = title;
  form.elements[form.elements.user.value ? "password" : "user"].focus();
}

function signedUp(name, text) {
  showFaults(form);
  form.elements.user.value = name;
  form.elements.password.value = "";
  history.replaceState(null, "", location.pathname);
  route();
  put(form.querySelector(".puzzle"), text);
}

// translate writes the form in the language that the person has chosen in the console, if the server wrote another one.
function translate() {
  if (language === written) return;
  title = `${t("action.login")} · clientes`;
  document.title = title;
  const place = (selector) => form.querySelector(selector) ?? h("p");
  put(place("h1 + p"), t("login.hint"));
  put(place("[for=user]"), t("field.user"));
  put(place("[for=password]"), t("field.password"));
  put(place("[for=code]"), t("field.code"));
  put(place("[for=remember]"), t("login.remember"));
  put(place('[href="#forgot"]'), t("login.forgot"));
  put(place('[href="#signup"]'), t("login.signup"));
  put(button, t("action.login"));
}

await load();
translate();
const banner = originNotice();
if (banner) document.body.prepend(banner);
peek(form.elements.password);
form.querySelector(".links").append(languageChoice((choice) => {
  choose(choice.value);
  location.reload();
}));
form.querySelector(":scope > .actions").before(status());
form.addEventListener("submit", login);
addEventListener("hashchange", route);
if (form.dataset.wait) countdown(form, Number(form.dataset.wait));
await route();
if (main.contains(form) && (await hasSession())) location.replace(inside());
