// What happened to the security of accounts, for admins.
import { button, dialog, field, h, put } from "./dom.js";
import { copyButton } from "./mfa.js";
import { agent, heading, page, pager, roleName, table, when } from "./parts.js";
import { api } from "./session.js";
import { date, eventName, events, number, t } from "./words.js";

export async function show(main, path, query) {
  const { hash } = location;
  const [{ records, next }, about] = await Promise.all([page("/audit", query), query.has("user_id") && nameOf(query.get("user_id"))]);
  const ids = [...new Set(records.flatMap((e) => [e.user_id, e.actor_id]).filter(Boolean))];
  const names = new Map(await Promise.all(ids.map(async (id) => [id, await nameOf(id)])));
  if (location.hash !== hash) return; // the person has gone on
  const first = new URLSearchParams(query);
  first.delete("cursor");
  put(main, h("div", { class: "bar" }, heading(t("place.audit"))), filters(query, about),
    records.length ? table(headings(), records.map((e) => row(e, names)), { class: "events" })
       : h("p", { class: "empty" }, t("audit.none")),
    pager("audit", first, query, next));
}

// nameOf returns the name of a user, or what stands for one who is deleted.
async function nameOf(id) {
  try {
    return (await api.json("GET", "/users/" + encodeURIComponent(id))).user;
  } catch (error) {
    if (error.code !== "not_found") throw error;
    return t("audit.deleted_user", { id });
  }
}

function filters(query, about) {
  const since = query.get("since");
  const fault = h("p", { class: "fault", role: "alert" });
  const user = field({ name: "user", label: t("field.user"), value: about || "", spellcheck: false, autocapitalize: "none" });
  const e = h("form", { class: "filters", onsubmit: async (event) => {
    event.preventDefault();
    const to = new URLSearchParams();
    const name = e.elements.user.value.trim();
    if (name && name === about) to.set("user_id", query.get("user_id"));
    else if (name) {
      const { records } = await page("/users", new URLSearchParams({ user: name }));
      if (!records.length) return put(fault, t("users.none", { name }));
      to.set("user_id", records[0].id);
    }
    if (e.elements.event.value) to.set("event", e.elements.event.value);
    if (e.elements.since.value) to.set("since", new Date(e.elements.since.value + "T00:00").toISOString());
    location.hash = "#/audit?" + to;
  } },
  field({ name: "event", label: t("audit.event"), value: query.get("event"),
    options: [["", t("audit.all")], ...events().map((kind) => [kind, eventName(kind)])] }),
  user, field({ name: "since", label: t("audit.since"), type: "date", value: since && localDay(since) }),
  h("button", null, t("audit.filter")), [...query.keys()].length > 0 && h("a", { href: "#/audit" }, t("audit.clear")), fault);
  return e;
}

const localDay = (text) => {
  const at = new Date(text);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((n) => String(n).padStart(2, "0")).join("-");
};

const headings = () => [t("audit.what"), t("audit.account"), t("audit.by"), t("audit.address"), t("audit.when")];
const row = (e, names) => h("tr", null,
  h("td", null, button(eventName(e.event), () => open(e, names), { class: "link" }), detail(e) && h("div", { class: "muted" }, detail(e))),
  h("td", { "data-label": t("audit.account") }, account(e, names)),
  h("td", { class: e.user_id === e.actor_id && "less", "data-label": t("audit.by") }, actor(e, names)),
  h("td", { class: e.ip ? "num" : "num less" }, e.ip || "–"),
  h("td", null, when(e.last_at), e.count > 1 && h("div", { class: "muted" }, t("audit.times", { n: number(e.count) }))));

const link = (id, names) => h("a", { href: "#/users/" + id }, names.get(id));
const account = (e, names) => (e.user_id ? link(e.user_id, names) : h("span", { class: "muted" }, t("audit.nobody")));
const actor = (e, names) => (e.actor_id ? link(e.actor_id, names)
  : h("span", { class: "muted" }, e.ip ? t("audit.stranger") : t("audit.command")));

// open shows all that is known of an event.
function open(e, names) {
  const line = (name, value) => value && [h("dt", null, name), h("dd", null, value)];
  const browser = e.user_agent && agent(e.user_agent);
  const opened = dialog(eventName(e.event), h("dl", { class: "facts", onclick: (event) => event.target.closest("a") && opened.close() },
    line(t("audit.detail"), detail(e)), line(t("audit.account"), account(e, names)), line(t("audit.by"), actor(e, names)),
    line(t("audit.when"), date(e.last_at)),
    e.count > 1 && [line(t("audit.first"), date(e.at)), line(t("audit.count"), number(e.count))],
    line(t("audit.address"), e.ip),
    line(t("audit.agent"), browser && [browser, browser !== e.user_agent && h("div", { class: "muted" }, e.user_agent)]),
    line(t("audit.request"), e.request_id && [h("code", null, e.request_id), " ", copyButton(e.request_id)])));
}

// detail returns the details of an event in the language of the page.
function detail({ event, detail: text }) {
  if (event === "login") {
    const [factors, far] = text.split(", ");
    const how = { "pwd": t("audit.pwd"), "pwd otp": t("audit.pwd_otp"), "pwd recovery": t("audit.pwd_recovery") }[factors] ?? factors;
    return far ? `${how}, ${t("audit.new_address")}` : how;
  }
  if (event === "role_changed") return text.split(" to ").map((r) => roleName(r) ?? r).join(" → ");
  if (event === "user_created" || event === "signup") return roleName(text) ?? text;
  if (event === "recovery_used") return t("audit.left", { n: parseInt(text, 10) });
  if (event === "login_refused" && text === "codes") return t("audit.codes");
  if (event === "export" || event === "import") {
    const [type, rows, broken] = text.split(", ");
    const format = { "text/csv": "CSV", "application/x-ndjson": "NDJSON" }[type] ?? type;
    return [format, t("audit.rows", { n: number(parseInt(rows, 10)) }), broken && t("audit.broken")].filter(Boolean).join(", ");
  }
  const ended = event === "all_ended" && /^sessions (\d+), users (\d+)/.exec(text);
  return ended ? t("audit.ended", { sessions: number(ended[1]), users: number(ended[2]) }) : text;
}
