// The history of a customer: who changed which field when, and the way back.
import { button, h, notice, put } from "./dom.js";
import { api, may } from "./session.js";
import { date, language, message, t } from "./words.js";
import { when } from "./parts.js";
import { fields, is, labelOf, was, who } from "./fields.js";

const PAGE = 10;

// changesOf returns changes, which are the newest first, each with the fields in which it differs from the one before.
export function changesOf(changes) {
  return changes.map((c, i) => {
    const older = changes[i + 1]?.record;
    const touched = c.record && older ? fields().map((f) => f.name).filter((name) => c.record[name] !== older[name]) : [];
    return { ...c, older, fields: c.action === "deleted" ? [] : touched };
  });
}

// history resolves to an element with the changes of a customer. bringBack(change) makes an old text the newest;
// current is the record as it is, undefined if it was deleted.
export async function history(id, { current, bringBack }) {
  const list = h("ol", { class: "past" });
  const foot = h("div");
  const element = h("section", { class: "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, t("record.history")), list, foot);
  let changes = [];
  await load({ limit: PAGE });
  return element;

  async function load(query) {
    const more = (label, query) => button(label, () => load(query), { class: "plain" });
    try {
      const page = await api.clientes.history(id, query);
      changes = [...changes, ...page.records];
      // What the last one of a page changed is known with the one before it, which is on the next page.
      const known = changesOf(changes).slice(0, page.next ? -1 : undefined);
      const seen = list.children.length;
      put(list, known.map(item));
      if (seen) list.children[seen]?.querySelector("summary, button")?.focus();
      put(foot, page.next && more(t("record.older"), page.next));
    } catch (error) {
      put(foot, notice(message(error)), more(t("action.retry"), query));
    }
  }
  function item(change, i) {
    const at = h("span", { class: "muted" }, when(change.at));
    const what = h("span", { dir: "auto" }, sentence(change));
    const back = may("editor") && change.record && change.action !== "deleted" && (i > 0 || !current) &&
      button(t("record.bring_back"), () => bringBack(change),
        { class: "plain small", "aria-label": t("record.bring_back_from", { date: date(change.at) }) });
    const detail = change.fields.length > 0 && h("dl", null, change.fields.map((name) => [
      h("dt", null, labelOf(name)), h("dd", null, was(change.older[name]), " → ", is(change.record[name]))]));
    return h("li", null, detail ? h("details", null, h("summary", null, what, at), detail) : h("p", null, what, at), back);
  }
}

function sentence(change) {
  const names = change.fields.map((name) => labelOf(name).toLocaleLowerCase(language));
  const list = new Intl.ListFormat(language).format(change.record ? names : [t("record.erased")]);
  const words = { who: who(change), fields: list };
  switch (change.action) {
    case "created": return t("record.did_create", words);
    case "deleted": return t("record.did_delete", words);
    case "restored": return t("record.did_restore", words);
    case "erased": return t("record.did_erase", words);
    default: return t("record.did_change", words);
  }
}
