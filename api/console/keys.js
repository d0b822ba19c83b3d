// Keys for programs: one's own, and for admins everybody's.
import { actions, button, dialog, field, h, put } from "./dom.js";
import { copyButton } from "./mfa.js";
import { act, again, heading, page, pager, roleName, roles, table, when } from "./parts.js";
import { api, may, proofFields } from "./session.js";
import { gone } from "./sessions.js";
import { date, t } from "./words.js";

const SCOPES = { viewer: ["clientes:read", "changes"], editor: ["clientes:write"], admin: ["users", "audit", "doctor"] };

export async function show(main, path, query) {
  const { hash } = location;
  const [me, { records, next }] = await Promise.all([api.json("GET", "/me"), page("/keys", query)]);
  if (location.hash !== hash) return; // the person has gone on
  const redraw = () => again(main, () => show(main, path, query));
  const end = async ({ id, name }) => {
    const done = await act(t("keys.end", { name }), undefined, { danger: true }, () => api.json("DELETE", "/keys/" + id).catch(gone));
    if (done) await redraw();
  };
  const row = (k) => h("tr", null, h("td", null, k.name), h("td", null, k.user), h("td", null, roleName(k.role)),
    h("td", null, k.scopes.join(" ")), h("td", null, date(k.expires_at)), h("td", null, k.last_used_at ? when(k.last_used_at) : "–"),
    h("td", null, button(t("account.session_end"), () => end(k), { "aria-label": t("keys.end", k) })));
  put(main, h("div", { class: "bar" }, heading(t("keys.title")), button(t("keys.new"), () => add(me, redraw), { class: "main", id: "key-new" })),
    h("p", { class: "muted" }, t("keys.about")),
    records.length > 0 && table([t("record.name"), t("field.user"), t("users.role"), t("keys.scopes"), t("keys.until"), t("keys.used"),
      t("account.session_end")],
      records.map(row)), pager("keys", "", query, next));
}

// add makes a key, and shows it once.
async function add(me, redraw) {
  const own = roles().filter(([role]) => may(role));
  const scopes = own.flatMap(([role]) => SCOPES[role]);
  let made;
  if (!(await act(t("keys.new"), undefined, { fields: [
    field({ name: "name", label: t("record.name"), required: true }),
    field({ name: "role", label: t("users.role"), value: me.role, options: own }),
    ...scopes.map((name) => field({ name, label: name, type: "checkbox", value: name === "clientes:read" })),
    field({ name: "expires_in", label: t("keys.days"), type: "number", value: 90, required: true }), ...proofFields(me),
  ] }, async ({ name, role, expires_in, current, code, ...chosen }) => {
    made = await api.json("POST", "/keys", { name, role, current, code, expires_in: Math.round(expires_in * 86_400),
      scopes: scopes.filter((scope) => chosen[scope]) });
  }))) return;
  const opened = dialog(made.name, [h("p", null, t("keys.once")), h("code", { class: "key" }, made.key),
    actions(copyButton(made.key), button(t("account.recovery_done"), () => opened.close(), { class: "main" }))]);
  await opened.closed;
  await redraw();
}
