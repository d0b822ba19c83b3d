// The customers: a table, and beside it the record that the address names (#/customers/7?q=ana&sort=-name).
import { actions, button, h, put, whileShown } from "./dom.js";
import { api, may, user } from "./session.js";
import { message, number, t } from "./words.js";
import { heading, when } from "./parts.js";
import { exportDialog } from "./export.js";
import { record } from "./record.js";

const PAGE = 50; // rows
const SORTS = ["name", "-name", "-updated_at", "updated_at", "-created_at", "created_at"];

export function show(main, path, query) {
  if (main.customers?.element.parentElement !== main) {
    main.customers = customers();
    put(main, main.customers.element);
    main.addEventListener("leave", main.customers.stop);
  }
  main.dirty = main.customers.dirty;
  const sort = query.get("sort");
  main.customers.turn(path[0], query.get("q") ?? "", SORTS.includes(sort) ? sort : SORTS[0]);
}

// customers makes the place. What it shows comes by turn.
function customers() {
  let q;
  let sort;
  let panel; // the open record
  let pages; // a query, and then the addresses of the pages after it that were seen
  let at; // the page of them that is shown, or is on its way
  let total; // customers that the query finds, once they are counted
  let first; // the place of the first row among them
  let records = [];
  let running = new AbortController(); // ends what the table waits for
  let cursor, watching; // of the changes of others
  const added = new Set(); // ids that others have added since the page was read

  const address = (id) => {
    const query = new URLSearchParams({ ...(q && { q }), ...(sort !== SORTS[0] && { sort }) }).toString();
    return "#/customers" + (id ? "/" + id : "") + (query && "?" + query);
  };
  const open = (id) => (location.hash = address(id));

  const search = h("input", {
    type: "search", class: "search", "aria-label": t("customers.search"), placeholder: t("customers.search_in"),
    title: t("customers.search_key"), "aria-keyshortcuts": "/", autocomplete: "off",
    oninput: () => find(search.value.trim()),
    onkeydown: (e) => {
      if (e.key !== "ArrowDown") return;
      e.preventDefault();
      body.querySelector("a")?.focus();
    },
  });
  const order = h("select", { class: "order", "aria-label": t("customers.order"), onchange: () => arrange(order.value) },
    [
      ["name", t("customers.by_name")], ["-name", t("customers.by_name_down")],
      ["-updated_at", t("customers.by_changed")], ["updated_at", t("customers.by_changed_up")],
      ["-created_at", t("customers.by_added")], ["created_at", t("customers.by_added_up")],
    ].map(([value, label]) => h("option", { value }, label)));
  const sorted = (label, up, down = "-" + up) => h("th", { scope: "col", "data-sort": up, class: up === "name" ? "" : "less" },
    button(label, () => arrange(sort === up ? down : sort === down ? up : up === "name" ? up : down)));
  const plain = (label, less) => h("th", { scope: "col", class: less }, label);
  const head = h("tr", null, sorted(t("record.name"), "name"), plain(t("field.email"), "mail"), plain(t("record.phone"), "less"),
    plain(t("record.company"), "less"), sorted(t("customers.changed"), "updated_at"));
  const body = h("tbody", { onclick: follow, onkeydown: walk });
  const table = h("div", { class: "scroll rows", hidden: true },
    h("table", { "aria-label": t("place.customers") }, h("thead", null, head), body));
  const state = h("div", { class: "state", hidden: true });
  const wait = h("p", { class: "late muted" }, t("record.loading"));
  const status = h("span", { role: "status" });
  const previous = button(t("customers.previous"), () => load(at - 1, previous));
  const next = button(t("customers.next"), () => load(at + 1, next));
  const pager = h("span", { class: "pager", hidden: true }, previous, next);
  const news = h("span", { role: "status" });
  const create = () => button(t("customers.new"), () => open("new"), { class: "main" });
  const bring = () => button(t("customers.import"), () => (location.hash = "#/import"));
  const list = h("div", { class: "list" },
    h("div", { class: "bar" }, heading(t("place.customers")), search, order,
      may("editor") && bring(),
      button(t("customers.export"), () => exportDialog({ q: q || undefined, sort }, total)),
      may("editor") && create()),
    wait, table, state, h("div", { class: "foot" }, status, news, pager));
  const element = h("div", { class: "customers" }, list);

  // The rest of the page knows the search by "/".
  whileShown(element, "keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    if (e.target.closest?.("input, textarea, select") || !search.checkVisibility()) return;
    e.preventDefault();
    search.focus();
    search.select();
  });

  whileShown(element, "visibilitychange", watch);
  whileShown(element, "session", watch); // it was used

  // watch follows what others change, while the table can be seen. It ends with the token: it does not use the session.
  async function watch() {
    if (document.hidden) return watching?.abort();
    if (watching || !cursor || !element.isConnected) return;
    const { signal } = (watching = new AbortController());
    try {
      cursor = await api.follow(cursor, (change, next) => {
        if (!element.isConnected) return false;
        cursor = next ?? cursor;
        take(change);
      }, { signal, passive: true });
    } catch (error) {
      if (error.code === "invalid_parameter") cursor = undefined; // of another database
    }
    watching = undefined;
    if (!cursor) load(at);
    else if (signal.aborted && !document.hidden) watch(); // hidden for a moment
  }
  // take shows a change in its row, which stays at its place.
  function take({ id, version, record, user_id }) {
    const i = records.findIndex((c) => c.id === id);
    if (i < 0) {
      if (record && version === 1 && user_id !== user().id && !q) added.add(id);
      if (!record) added.delete(id);
      return tell(); // one may be clicked now
    }
    if (version <= records[i].version) return;
    records.splice(i, 1, ...(record ? [record] : []));
    if (total && !record) total--;
    if (records.length === 0) return load(at);
    draw();
  }

  // turn shows what the address says. A search that is typed arrives here once more, and changes nothing.
  function turn(id, newQ, newSort) {
    if (newQ !== q || newSort !== sort) {
      if (search.value.trim() !== newQ) search.value = newQ;
      [q, sort] = [newQ, newSort];
      restart();
    }
    if (!/^\d+$/.test(id) && !(id === "new" && may("editor"))) id = undefined;
    if (id === panel?.id) return;
    const was = panel?.id;
    panel?.element.remove();
    panel = id && record(id, { done, close: () => open() });
    element.classList.toggle("open", Boolean(panel));
    mark();
    if (panel) element.append(panel.element);
    else (linkTo(was) ?? search).focus();
  }
  // done is called by the panel when a record was written. A new one changes the address, not the panel.
  function done(id) {
    if (panel && id !== undefined) {
      panel.id = String(id);
      history.replaceState(null, "", address(id));
    }
    total = undefined;
    load(at);
  }
  function find(text) {
    if (text !== q) arrange(sort, text);
  }
  function arrange(by, text = q) {
    [q, sort] = [text, by];
    history.replaceState(null, "", address(panel?.id));
    restart();
  }
  function restart() {
    pages = [{ q: q || undefined, sort, limit: PAGE }];
    total = undefined;
    order.value = sort;
    for (const th of head.querySelectorAll("[data-sort]")) {
      const by = th.dataset.sort;
      th.ariaSort = sort === by ? "ascending" : sort === "-" + by ? "descending" : null;
    }
    load(0);
  }

  // load fetches a page. The newest request wins: the one before is aborted, so that each key shows its answer as soon
  // as the server has it. What is on the screen stays until then.
  async function load(to, turned) {
    running.abort();
    const { signal } = (running = new AbortController());
    at = to;
    table.ariaBusy = "true";
    try {
      // Before the rows, or what changes in between is missed.
      cursor ??= (await api.json("GET", "/clientes/changes").catch(() => ({}))).cursor;
      const page = await api.clientes.page(pages[to], { signal });
      if (signal.aborted) return;
      if (page.records.length === 0 && to > 0) return load(to - 1); // they were deleted
      pages.length = to + 1;
      if (page.next) pages.push(page.next);
      if (to === 0 && !page.next) total = page.records.length;
      first = to * PAGE + 1;
      records = page.records;
      added.clear();
      draw();
      watch();
      if (turned) scrollTo({ top: 0 });
      if (turned?.disabled) (turned === next ? previous : next).focus();
      if (total === undefined) count(signal);
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
    if (!signal.aborted) table.ariaBusy = null;
  }
  // count comes after the rows, which must not wait for it.
  async function count(signal) {
    try {
      const counted = await api.clientes.page({ q: q || undefined, limit: 1, count: "exact" }, { signal });
      if (signal.aborted) return;
      total = counted.total;
      tell();
    } catch {
      // The rows are there. Where they fail too, the table says so.
    }
  }
  function fail(error) {
    wait.remove();
    if (error.code === "mfa_setup_required") return location.replace("#/account/second-factor");
    table.hidden = pager.hidden = true;
    status.textContent = "";
    state.hidden = false;
    const retry = button(t("action.retry"), () => { search.focus(); load(at); });
    put(state, h("div", { role: "alert" }, h("p", null, message(error)), retry));
  }

  function draw() {
    const focused = body.contains(document.activeElement) && document.activeElement.closest("tr").dataset.id;
    wait.remove();
    put(body, records.map(row));
    mark();
    if (focused) (linkTo(focused) ?? search).focus();
    table.hidden = records.length === 0;
    state.hidden = !table.hidden;
    if (state.contains(document.activeElement)) search.focus();
    put(state, records.length === 0 && empty());
    previous.disabled = at === 0;
    next.disabled = at + 1 >= pages.length;
    pager.hidden = previous.disabled && next.disabled;
    tell();
  }
  function tell() {
    if (Number(news.dataset.n ?? 0) !== added.size) {
      news.dataset.n = added.size;
      const show = () => { search.focus(); load(at); };
      put(news, added.size > 0 && button(t("customers.added", { n: number(added.size) }), show));
    }
    const [from, to] = [number(first), number(first + records.length - 1)];
    if (records.length === 0) status.textContent = "";
    else if (total === undefined) status.textContent = t("customers.range", { from, to });
    else if (total > records.length) status.textContent = t("customers.range_of", { from, to, total: number(total) });
    else status.textContent = total === 1 ? t("customers.one") : t("customers.all", { total: number(total) });
  }
  function row(c) {
    const text = (value, classes) => h("td", { class: classes }, h("span", { dir: "auto", title: value }, value));
    return h("tr", { "data-id": c.id },
      h("td", { class: "who" }, h("a", { href: address(c.id), dir: "auto", title: c.name }, c.name)),
      text(c.email, "mail"), text(c.phone, "num less"), text(c.company, "less"),
      h("td", { class: "muted less" }, when(c.updated_at)));
  }
  function empty() {
    if (q) {
      return [h("h2", { dir: "auto" }, t("customers.nothing", { q })), h("p", { class: "muted" }, t("customers.nothing_hint")),
        button(t("customers.clear"), () => { search.value = ""; search.focus(); find(""); })];
    }
    return [h("h2", null, t("customers.none")), may("editor") && h("p", { class: "muted" }, t("customers.none_hint")),
      may("editor") && actions(create(), bring())];
  }

  const linkTo = (id) => body.querySelector(`tr[data-id="${CSS.escape(id)}"] a`);
  function mark() {
    for (const a of body.querySelectorAll("a")) {
      a.ariaCurrent = a.closest("tr").dataset.id === panel?.id ? "true" : null;
    }
  }
  // follow makes the whole row a link, unless its text is being selected. A search that is typed changes the addresses
  // of rows that are there already.
  function follow(e) {
    const row = e.target.closest("tr");
    const link = e.target.closest("a");
    if (link) link.href = address(row.dataset.id);
    else if (!getSelection().toString()) row?.querySelector("a").click();
  }
  function walk(e) {
    const to = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[e.key];
    if (!to) return;
    e.preventDefault();
    const row = e.target.closest("tr")[to];
    if (row) row.querySelector("a").focus();
    else if (e.key === "ArrowUp") search.focus();
  }
  return { element, turn, stop: () => watching?.abort(), dirty: () => Boolean(panel?.dirty()) };
}
