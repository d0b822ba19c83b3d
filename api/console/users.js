// The users, for admins: a list, and one user on a page of their own.
import { button, field, h, put, say } from "./dom.js";
import { act, heading, page, pager, roleName, roles, table, when } from "./parts.js";
import { api, stepUp, user } from "./session.js";
import { t } from "./words.js";
import { showUser } from "./user.js";

export async function show(main, path, query) {
  if (/^\d+$/.test(path[0])) return showUser(main, path[0]);
  const name = query.get("user") ?? "";
  const search = h("input", { type: "search", value: name, "aria-label": t("users.search"), placeholder: t("users.search"), spellcheck: false });
  const find = (event) => {
    event.preventDefault();
    location.hash = "#/users" + (search.value.trim() ? "?" + new URLSearchParams({ user: search.value.trim() }) : "");
  };
  const { hash } = location;
  const { records, next } = await page("/users", query);
  if (location.hash !== hash) return; // the person has gone on
  put(main, h("div", { class: "bar" }, heading(t("place.users")), h("form", { role: "search", onsubmit: find }, search),
      button(t("users.new"), add, { class: "main", id: "user-new" })),
    records.length ? table([t("field.user"), t("field.email"), t("users.role"), t("users.state"), t("users.since")], records.map(row))
       : h("p", { class: "empty" }, t("users.none", { name }), " ", h("a", { href: "#/users" }, t("users.all"))),
    pager("users", "", query, next));
}

const row = (u) => h("tr", { class: u.disabled && "off" },
  h("td", null, h("a", { href: "#/users/" + u.id }, u.user), u.id === user().id && [" ", h("span", { class: "mark" }, t("users.you"))]),
  h("td", null, u.email || h("span", { class: "muted" }, "–")), h("td", null, roleName(u.role)),
  h("td", null, u.disabled ? t("users.disabled") : t("users.active")), h("td", { class: "muted less" }, when(u.created_at)));

// add adds a user: with an invitation by mail, or with a password that the admin passes on.
async function add() {
  const how = field({ name: "how", label: t("users.how"), options: [["mail", t("users.by_mail")], ["password", t("users.by_password")]] });
  const password = field({ name: "password", label: t("field.password"), hint: t("users.password_hint"), autocomplete: "new-password", required: true });
  password.hidden = true;
  how.addEventListener("change", (event) => (password.hidden = event.target.value !== "password"));
  let made;
  const done = await act(t("users.new"), undefined, {
    fields: [
      field({ name: "user", label: t("field.user"), required: true, spellcheck: false, autocapitalize: "none" }),
      field({ name: "email", label: t("field.email"), type: "email", spellcheck: false }),
      field({ name: "role", label: t("users.role"), hint: t("users.role_hint"), value: "viewer", options: roles() }), how, password,
    ], submit: t("users.add"),
  }, async ({ how, ...values }) => {
    made = await stepUp((proof) => api.json("POST", "/users", { ...values, ...proof }));
  });
  if (!done) return;
  say(password.hidden ? t("users.invited", { user: made.user, email: made.email }) : t("users.added", { user: made.user }));
  location.hash = "#/users/" + made.id;
}
