// The console: a rail of places, and the place that the address names (#/customers, #/account …).
import { h, put } from "./dom.js";
import { load, t } from "./words.js";
import { api } from "./session.js";

// Each place is a module whose show(main, path, query) fills the main element. path is what stands
// behind the place's name, query a URLSearchParams.
const places = [
  { name: "customers", label: () => t("place.customers"), module: () => import("./customers.js") },
  { name: "import", label: () => t("import.title"), module: () => import("./import.js"), hidden: true },
  { name: "account", label: () => t("place.account"), module: () => import("./account.js") },
  { name: "users", label: () => t("place.users"), module: () => import("./users.js"), role: "admin" },
  { name: "audit", label: () => t("place.audit"), module: () => import("./audit.js"), role: "admin" },
];

const main = h("main", { class: "place", id: "main" });

async function show() {
  const [path, query] = location.hash.slice(2).split("?");
  const [name, ...rest] = path.split("/");
  const place = places.find((p) => p.name === name) ?? places[0];
  const module = await place.module();
  await module.show(main, rest, new URLSearchParams(query));
}

await load();
await api.refresh();
const mine = places.filter((p) => !p.role || p.role === api.session.user.role);
const rail = h("nav", { class: "rail", "aria-label": t("place.label") }, h("div", { class: "name" }, "clientes"),
  mine.filter((p) => !p.hidden).map((p) => h("a", { href: "#/" + p.name }, p.label())));
put(document.body, h("div", { class: "frame" }, rail, main));
addEventListener("hashchange", show);
await show();
