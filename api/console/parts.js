// What the places share: sections, tables, dialogs with one form, lists by page.
import { dialog, form, h } from "./dom.js";
import { api } from "./session.js";
import { ago, date, t } from "./words.js";

// part returns a section: its subject, and beside it what can be done.
export const part = (title, about, ...content) => h("section", { class: "part" },
  h("div", null, h("h2", null, title), about && h("p", { class: "muted" }, about)), h("div", null, content));

// heading can have the focus, so that a reader hears what replaced the last page.
export const heading = (text) => h("h1", { tabIndex: -1 }, text);

// act opens a dialog with a form for some work, which its button names. It resolves to whether the work was done.
export async function act(title, text, { fields = [], submit = title, danger }, work) {
  const opened = dialog(title, [text && h("p", null, text), form({
    fields, submit, danger, cancel: () => opened.close(false),
  }, async (values) => {
    await work(values);
    opened.close(true);
  })]);
  return (await opened.closed) === true;
}

// again shows a place anew after a change. The focus stays at the button of that id, if it is still there.
export async function again(main, show) {
  const { id } = document.activeElement ?? {};
  await show();
  ((id && document.getElementById(id)) || main.querySelector("h1"))?.focus();
}

// page returns one page of any list of the API: page.next is the query of the next one.
export async function page(path, query) {
  if (/\s/.test(query.get("user")?.trim())) return { records: [] }; // the server takes a space for a lost +
  const { records, next } = await api.clientes.page(`${path}?${query}`);
  return { records, next: next?.split("?")[1] };
}

// pager links to the first page and to the next. Back leads to the one before.
export const pager = (place, first, now, next) => h("nav", { class: "foot", "aria-label": t("users.pages") },
  now.has("cursor") ? h("a", { href: `#/${place}?${first}` }, t("users.first")) : h("span"),
  next && h("a", { href: `#/${place}?${next}` }, t("users.next")));

export const roleName = (role) => ({ viewer: t("users.viewer"), editor: t("users.editor"), admin: t("users.admin") })[role];
export const roles = () => ["viewer", "editor", "admin"].map((role) => [role, roleName(role)]);

// table returns a table that scrolls by itself where it is too wide. rows are of the body.
export const table = (headings, rows, properties) => h("div", { class: "scroll" }, h("table", properties,
  h("thead", null, h("tr", null, headings.map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, rows)));

// when returns a time as people say it, with the exact one for the pointer.
export const when = (at) => h("time", { dateTime: at, title: date(at) }, ago(at));

// agent returns the browser and the system that a User-Agent names.
export function agent(text) {
  const find = (table) => table.find(([pattern]) => pattern.test(text))?.[1];
  const browser = find([[/Edg/, "Edge"], [/OPR\//, "Opera"], [/SamsungBrowser/, "Samsung Internet"], [/Firefox|FxiOS/, "Firefox"],
    [/Chrome|Chromium|CriOS/, "Chrome"], [/Safari/, "Safari"]]);
  const system = find([[/Android/, "Android"], [/iPhone/, "iPhone"], [/iPad/, "iPad"], [/Windows/, "Windows"],
    [/Mac OS X|Macintosh/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]]);
  if (browser && system) return t("account.agent", { browser, system });
  return browser ?? (text.split(/[\s(]/)[0] || t("account.agent_unknown"));
}
