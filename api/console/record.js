// The panel of one customer: its text, and what happens when several people write it.
import { actions, ask, button, discards, field, h, notice, put, saveFile, say, showFaults } from "./dom.js";
import { fields, is, labelOf, was, who } from "./fields.js";
import { api, may } from "./session.js";
import { ago, date, faultMessage, message, number, t } from "./words.js";
import { conflict } from "./conflict.js";
import { changesOf, history } from "./history.js";
import { act } from "./parts.js";

// record makes the panel of the customer with an id, or of one to be made if it is "new". done(id) is called after each
// write that the list should show, with the id if the panel shows another customer now; close leads away from the panel.
export function record(id, { done, close }) {
  const fresh = id === "new";
  const title = h("h1", { id: "record-title", tabIndex: -1, dir: "auto" }, fresh ? t("customers.new") : t("record.loading"));
  const subtitle = h("p", { class: "muted" });
  const news = h("div", { class: "news" }); // what others did meanwhile
  const main = h("div");
  const past = h("div");
  const element = h("aside", { class: "record", "aria-labelledby": "record-title", onkeydown: keys },
    h("header", null, h("div", null, title, subtitle),
      button("✕", close, { class: "plain icon", "aria-label": t("action.close"), title: "Esc" })),
    news, main, past);
  const self = { id, element, dirty: () => Boolean(form) && Object.keys(typed()).length > 0 };

  let base; // the record as the form's text was made from; undefined for a new one
  let form;
  let open; // the conflict that is to be decided
  let saving = false;
  let logging; // the newest history that was asked for

  if (fresh) edit();
  else read();
  queueMicrotask(() => (fresh ? form.elements.name : title).focus());
  return self;

  async function read() {
    try {
      show(await api.clientes.get(self.id));
    } catch (error) {
      if (error.code === "not_found") return gone();
      fail(error, read);
    }
  }
  function fail(error, again) {
    title.textContent = t("record.failed");
    put(main, notice(h("p", null, message(error)), button(t("action.retry"), again)));
  }

  // show fills the panel with a record as the server has it.
  function show(found) {
    base = found;
    open = undefined;
    put(news);
    head();
    if (may("editor")) edit();
    else put(main, sheet(base));
    log();
  }
  function head() {
    title.textContent = base?.name ?? t("customers.new");
    title.title = title.textContent;
    put(subtitle, base && h("time", { dateTime: base.updated_at, title: date(base.updated_at) },
      t("record.changed_at", { ago: ago(base.updated_at) })));
  }
  // log shows the history. The one before stays until the newest is there.
  async function log() {
    const mine = (logging = history(self.id, { current: base, bringBack }));
    const element = await mine;
    if (mine === logging) put(past, element);
  }

  // gone shows a customer that was deleted, as the history has it.
  async function gone() {
    base = form = undefined;
    let changes;
    try {
      changes = (await api.clientes.history(self.id, { limit: 1 })).records;
    } catch (error) {
      if (error.code !== "not_found") return fail(error, gone);
    }
    const last = changes?.[0];
    put(news);
    if (!last?.record) {
      title.textContent = t("record.none");
      put(subtitle);
      if (last) log(); // it was erased
      return put(main, h("p", { class: "muted" }, t("record.none_hint")));
    }
    title.textContent = last.record.name;
    put(subtitle, t("record.deleted_by", { who: who(last), ago: ago(last.at) }));
    put(main, sheet(last.record), may("editor") && actions(
      button(t("record.bring_back"), () => bringBack(last), { class: "main" }), person()));
    log();
  }

  function edit() {
    const inputs = fields().map(({ max, ...f }) => {
      const e = field({ ...f, value: base?.[f.name], dir: "auto" });
      const room = h("div", { class: "hint num", hidden: true });
      const input = e.querySelector("input, textarea");
      input.addEventListener("input", () => {
        const length = [...input.value].length;
        room.hidden = !max || length < max * 0.9;
        room.textContent = t("record.room", { n: number(length), max: number(max ?? 0) });
      });
      e.append(room);
      return e;
    });
    form = h("form", { noValidate: true, onsubmit: (e) => { e.preventDefault(); save(); } }, inputs,
      actions(
        h("button", { class: "main", title: "Ctrl+Enter", "aria-keyshortcuts": "Control+Enter" }, t("action.save")),
        button(t("action.cancel"), close),
        base && button(t("record.delete"), remove, { class: "plain danger" }), base && person()));
    put(main, form);
  }

  // typed returns what the form has other than base.
  function typed() {
    const changes = {};
    for (const { name } of fields()) {
      if (form.elements[name].value !== (base?.[name] ?? "")) changes[name] = form.elements[name].value;
    }
    return changes;
  }
  // rebase makes base a newer record. Fields in which nobody types, or that were sent, follow it.
  function rebase(newer, sent = {}) {
    for (const { name } of fields()) {
      const input = form.elements[name];
      const follows = input.value === (sent[name] ?? base?.[name] ?? "");
      input.defaultValue = newer[name];
      if (follows) input.value = newer[name];
    }
    base = newer;
    head();
  }

  async function save() {
    if (saving) return;
    if (open && !open.decided()) return open.focus();
    const changes = typed();
    if (base && Object.keys(changes).length === 0) {
      settle();
      return say(t("record.unchanged"));
    }
    saving = true;
    form.ariaBusy = "true";
    showFaults(form);
    try {
      await (base ? update(changes) : create());
    } catch (error) {
      await refuse(error, changes);
    }
    saving = false;
    if (form) form.ariaBusy = null;
  }
  // settle takes away what is decided, and the focus out of it.
  function settle() {
    const focused = news.contains(document.activeElement) || document.activeElement === document.body;
    open = undefined;
    put(news);
    if (focused) title.focus();
  }
  async function create() {
    const values = Object.fromEntries(fields().map(({ name }) => [name, form.elements[name].value]));
    const made = await api.clientes.create(values);
    self.id = String(made.id);
    show(made);
    done(made.id);
    title.focus();
    say(t("record.created", { name: made.name }));
  }
  async function update(changes) {
    const before = base;
    const saved = await api.clientes.update(base, changes);
    rebase(saved, changes);
    settle();
    log();
    done();
    say(t("record.saved"));
    await tellMerged(before, saved, changes);
  }
  // tellMerged says what others wrote between the version that was read and the one that is saved.
  async function tellMerged(before, saved, mine) {
    const theirs = fields().map((f) => f.name).filter((name) => !(name in mine) && saved[name] !== before[name]);
    if (theirs.length === 0) return;
    const changes = await changesSince(before.version);
    put(news, h("div", { class: "both", role: "status" }, h("strong", null, t("record.merged")),
      h("dl", null, theirs.map((name) => [
        h("dt", null, t("record.by", { field: labelOf(name), who: who(changes.find((c) => c.fields.includes(name))) })),
        h("dd", null, was(before[name]), " → ", is(saved[name]))]))));
  }
  // changesSince returns what happened after a version, the newest first, with the fields that each change touched.
  async function changesSince(version) {
    try {
      const { records } = await api.clientes.history(self.id, { limit: 50 });
      return changesOf(records).filter((c) => c.version > version);
    } catch {
      return []; // then it is told without names
    }
  }

  async function refuse(error, changes) {
    if (error.code === "conflict_fields") return decide(error.conflict);
    if (error.code === "not_found" && base) return deletedMeanwhile();
    showFaults(form, error);
    if (error.code === "conflict" && changes.email) await nameOther(changes.email);
  }
  async function decide({ base: before, theirs, mine, fields: names }) {
    const changes = await changesSince(before.version);
    rebase(theirs);
    open = conflict({
      before, theirs, mine, names, form,
      change: (name) => changes.find((c) => c.fields.includes(name)) ?? changes[0],
      save,
    });
    put(news, open.element);
    log();
    open.focus();
  }
  // nameOther shows whose the email is. It opens in a tab of its own, so that what was typed stays.
  async function nameOther(email) {
    const { records: [other] } = await api.clientes.page({ email: email.trim() }).catch(() => ({ records: [] }));
    if (!other) return;
    form.elements.email.closest(".field").querySelector(".fault").append(" ",
      h("a", { href: "#/customers/" + other.id, target: "_blank", dir: "auto" }, t("record.other", { name: other.name })));
  }
  async function deletedMeanwhile() {
    const [last] = await changesSince(0);
    done();
    if (!last?.record) return gone();
    const back = button(t("record.restore_mine"), async () => {
      try {
        await api.clientes.restore(self.id, last.record.version);
        put(news);
        await save();
      } catch (error) {
        showFaults(form, error);
      }
    }, { class: "main" });
    put(news, h("div", { class: "both", role: "alert" },
      h("p", null, t("record.deleted_meanwhile", { who: who(last) })), actions(back)));
    back.focus();
  }

  async function remove() {
    const text = self.dirty() ? t("record.delete_dirty") : t("record.delete_text");
    if (!(await ask(t("record.delete_ask", { name: base.name }), text, t("record.delete")))) return;
    const { id, name, version } = base;
    try {
      await api.clientes.delete(base);
    } catch (error) {
      if (error.code === "not_found") return gone();
      if (error.code !== "version_mismatch") return showFaults(form, error);
      return changedMeanwhile();
    }
    form = undefined; // nothing of it is unsaved
    close();
    done();
    const undo = async () => {
      try {
        await api.clientes.restore(id, version);
        done();
        say(t("record.restored", { name }));
      } catch (error) {
        say(message(error));
      }
    };
    say(t("record.deleted", { name }), { label: t("record.undo"), run: undo });
  }
  // person is for people who ask what is stored about them, or to be forgotten.
  function person() {
    const at = `/clientes/${self.id}/`, label = t("record.erase_type", self), title = t("record.erase");
    const everything = async () => saveFile(`cliente-${self.id}.json`, await (await api.fetch(at + "everything")).blob());
    const erase = async () => await act(title, t("record.erase_text"), { danger: true,
      fields: [{ name: "id", label }, { name: "reason", label: t("record.erase_reason") }] }, async ({ id, reason }) => {
      if (id !== "" + self.id) throw { errors: [{ field: "id", message: label }] };
      await api.json("POST", at + "erase", { reason });
    }) && (form = undefined, close(), done());
    return may("admin") && [button(t("record.everything"), () => everything().catch((e) => say(message(e))), { class: "plain" }),
      button(title, erase, { class: "plain danger" })];
  }
  // changedMeanwhile shows what somebody wrote before a delete that did not know of it.
  async function changedMeanwhile() {
    const before = base;
    rebase(await api.clientes.get(self.id));
    await tellMerged(before, base, {});
    news.querySelector("strong")?.replaceChildren(t("record.delete_look"));
    log();
  }

  // bringBack makes the text of an old version the customer's again. It can be undone in the same way.
  async function bringBack(change) {
    if (self.dirty() && !(await discards())) return;
    const before = base;
    const restore = async (version) => {
      try {
        show(await api.clientes.restore(self.id, version));
        title.focus();
        done();
        return true;
      } catch (error) {
        fault(error);
      }
    };
    if (!(await restore(change.record.version))) return;
    say(t("record.brought_back"), before && { label: t("record.undo"), run: () => restore(before.version) });
  }
  function fault(error) {
    const texts = error.errors?.map((e) => labelOf(e.field) + ": " + faultMessage(e)).join(" ");
    put(news, notice(message(error), texts && " " + texts));
  }

  function keys(e) {
    if (e.key === "Escape" && !e.defaultPrevented) close();
    else if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && form) form.requestSubmit();
    else return;
    e.preventDefault();
  }
}

// sheet shows a record to who may not write it.
function sheet(c) {
  const linked = { email: "mailto:", phone: "tel:" };
  return h("dl", { class: "facts" }, fields().filter(({ name }) => c[name]).map(({ name, label }) => [
    h("dt", null, label), h("dd", { dir: "auto" }, linked[name]
      ? h("a", { href: linked[name] + encodeURIComponent(c[name]).replaceAll("%40", "@") }, c[name]) : c[name])]));
}
