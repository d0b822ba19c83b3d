// The console: a rail of places, and the place that the address names (#/customers, #/account …).
import { actions, button, discards, h, languageChoice, notice, originNotice, page, put } from "./dom.js";
import { choose, language, load, message, t } from "./words.js";
import { roleName } from "./parts.js";
import { logout, may, restart, start, unsaved, user } from "./session.js";

// Each place is a module whose show(main, path, query) fills the main element. path is what stands behind the place's
// name, query a URLSearchParams. A place may set main.dirty, which tells whether there is typed text to lose.
// A place that is of another one is reached from there.
const places = [
  { name: "customers", label: () => t("place.customers"), module: () => import("./customers.js") },
  { name: "import", label: () => t("import.title"), module: () => import("./import.js"), role: "editor", of: "customers" },
  { name: "account", label: () => t("place.account"), module: () => import("./account.js") },
  { name: "keys", label: () => t("keys.title"), module: () => import("./keys.js"), of: "account" },
  { name: "users", label: () => t("place.users"), module: () => import("./users.js"), role: "admin" },
  { name: "audit", label: () => t("place.audit"), module: () => import("./audit.js"), role: "admin" },
];

const mine = (place) => !place.role || may(place.role);

let main;
let now; // the place on the page
let hash; // its address

// Links of mails lead here, and their forms are those of the login page.
const isLink = () => /^#(confirm|invite|reset)=/.test(location.hash);

async function show(event) {
  if (isLink()) return location.replace("/login" + location.hash);
  const [path, query] = location.hash.slice(2).split("?");
  const [name, ...rest] = path.split("/");
  const place = places.find((p) => p.name === name) ?? places[0];
  const another = place !== now;
  if (now && (another ? unsaved() : main.dirty?.()) && !(await discards())) {
    history.replaceState(null, "", event?.oldURL ?? hash); // a place may have changed its address by itself
    return;
  }
  hash = location.hash;
  const first = !now;
  if (another) {
    now = place;
    for (const d of page().querySelectorAll("dialog")) d.close();
    // A new element, so that a place that answers late finds the old one.
    const fresh = h("main", { class: "place", id: "main", tabIndex: -1 });
    main.replaceWith(fresh);
    main.dispatchEvent(new Event("leave"));
    main = fresh;
    document.title = `${place.label()} · clientes`;
    for (const a of document.querySelectorAll(".places a")) {
      a.ariaCurrent = a.hash === "#/" + (place.of ?? place.name) ? "page" : null;
    }
  }
  const shown = main;
  try {
    if (place.role && !may(place.role)) put(main, h("h1", null, place.label()), h("p", null, t("app.refused")));
    else await (await place.module()).show(shown, rest, new URLSearchParams(query));
  } catch (error) {
    if (main !== shown) return;
    if (error.code === "mfa_setup_required" && place.name !== "account") return location.replace("#/account/second-factor");
    if (!error.code) console.error(error);
    put(main, h("h1", null, place.label()), notice(error.code ? message(error) : t("code.internal")),
      actions(button(t("action.retry"), show)));
  }
  const title = main.querySelector("h1");
  if (another && !first && main === shown && title && !main.contains(document.activeElement)) {
    title.tabIndex = -1;
    title.focus();
  }
}

function frame() {
  const { user: name, role } = user();
  main = h("main");
  const languages = languageChoice(async (choice) => {
    if (unsaved() && !(await discards())) {
      choice.value = language;
      return;
    }
    choose(choice.value);
    restart();
  });
  return [
    h("a", { class: "skip", href: "#main", onclick: (event) => {
      event.preventDefault(); // the address names the place
      main.focus();
    } }, t("app.skip")),
    h("div", { class: "frame" },
      h("header", { class: "rail" },
        h("div", { class: "name" }, "clientes"),
        h("nav", { class: "places", "aria-label": t("place.label") }, places.filter((p) => !p.of && mine(p)).map((p) =>
          h("a", { href: "#/" + p.name }, p.label()))),
        h("div", { class: "me" },
          h("div", { class: "who" }, h("strong", null, name), " ", h("span", null, roleName(role))),
          languages, button(t("session.logout"), logout, { class: "plain" }))),
      main),
    h("div", { class: "toasts", role: "status" }),
  ];
}

async function run() {
  if (isLink()) return location.replace("/login" + location.hash);
  const started = start();
  started.catch(() => {}); // until the words are there
  await load();
  const all = h("div", { id: "page" });
  put(document.body, originNotice(), all);
  try {
    await started;
  } catch (error) {
    put(all, h("main", { class: "place" }, h("h1", null, "clientes"), notice(message(error)),
      actions(button(t("action.retry"), run, { class: "main" }))));
    return;
  }
  put(all, frame());
  addEventListener("hashchange", show);
  await show();
}

// A page that Back takes from the cache of the browser is of a session that may have ended.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  put(document.body);
  location.reload();
});
run(); // not awaited: places import this module, and would wait for it
