// One's own account: email, password, second factor, sessions, known devices.
import { actions, button, field, h, put, say } from "./dom.js";
import { act, again, heading, part, roleName } from "./parts.js";
import { api, ending, proofFields } from "./session.js";
import { mfaPart, showSetUp } from "./mfa.js";
import { sessionsPart } from "./sessions.js";
import { t } from "./words.js";

export async function show(main, path) {
  const me = await api.json("GET", "/me");
  if (path[0] === "second-factor") return showSetUp(main, me);
  const sessions = await api.json("GET", "/sessions");
  const redraw = () => again(main, () => show(main, path));
  put(main, heading(t("place.account")),
    h("p", { class: "muted" }, `${me.user}, ${roleName(me.role)}`),
    emailPart(me, redraw), passwordPart(me), mfaPart(me, redraw), sessionsPart(sessions, redraw), devicesPart(),
    part(t("keys.title"), t("keys.about"), actions(h("a", { class: "button", href: "#/keys" }, t("keys.title")))));
}

function emailPart(me, redraw) {
  const change = () => act(t("account.email_change"), t("account.email_text"), {
    fields: [
      field({ name: "email", label: t("field.email"), type: "email", autocomplete: "email", value: me.pending_email || me.email }),
      ...proofFields(me),
    ], submit: t("action.save"),
  }, (values) => api.json("PATCH", "/me", values)).then((done) => done && redraw());
  return part(t("field.email"), t("account.email_about"),
    h("p", { class: "fact" }, me.email || h("span", { class: "muted" }, t("account.email_none"))),
    me.pending_email && h("p", { class: "pending" }, t("account.email_pending", { email: me.pending_email })),
    actions(button(t("account.email_change"), change, { id: "email-change" })));
}

function passwordPart(me) {
  const change = () => act(t("account.password_change"), t("account.password_text"), {
    fields: [
      ...proofFields(me),
      field({ name: "password", label: t("field.new_password"), type: "password", autocomplete: "new-password", required: true }),
    ],
  }, (values) => ending(() => api.json("POST", "/password", values))).then((done) => done && over(t("account.password_done")));
  return part(t("field.password"), t("account.password_about"),
    actions(button(t("account.password_change"), change, { id: "password-change" })));
}

function devicesPart() {
  const forget = async () => {
    const done = await act(t("account.devices_forget"), t("account.devices_text"), {}, () => api.json("DELETE", "/me/devices"));
    if (done) say(t("account.devices_done"));
  };
  return part(t("account.devices"), t("account.devices_about"),
    actions(button(t("account.devices_forget"), forget, { id: "devices-forget" })));
}

// over replaces the page when the account has ended all its sessions, this one too.
function over(text) {
  put(document.body, h("main", { class: "narrow ended" }, heading(t("account.over")), h("p", null, text),
    h("p", null, h("a", { class: "button", href: "/login" }, t("action.login")))));
  document.querySelector("h1").focus();
}
