// The choice between two texts of one field, when two people have written it.
import { actions, button, h, put } from "./dom.js";
import { ago, t } from "./words.js";
import { labelOf, who } from "./fields.js";

// conflict shows the fields that two people wrote: as they were before, theirs and mine. A choice goes into the form, and
// the last one saves. change(name) is theirs, from the history.
export function conflict({ before, theirs, mine, names, form, change, save }) {
  const open = new Map(names.map((name) => [name, choice(name)]));
  const first = change(names[0]);
  const element = h("section", { class: "both", "aria-labelledby": "conflict-title" },
    h("h2", { id: "conflict-title", tabIndex: -1 }, t("record.conflict", { who: who(first) })),
    h("p", null, names.length === 1 ? t("record.conflict_one") : t("record.conflict_many", { n: names.length })),
    [...open.values()]);

  function choice(name) {
    const by = change(name);
    const text = (label, value, hint) => [
      h("dt", null, label), h("dd", { dir: "auto" }, value || h("em", null, t("record.empty")),
        hint && h("small", { class: "muted" }, " ", hint))];
    const take = (label, value, main) => button(label, () => decide(name, label, value),
      { class: main, "aria-describedby": "conflict-" + name });
    return h("fieldset", null, h("legend", null, labelOf(name)),
      h("dl", { id: "conflict-" + name },
        text(t("record.before"), before[name]),
        text(t("record.theirs", { who: who(by) }), theirs[name], by && ago(by.at)),
        text(t("record.mine"), mine[name])),
      actions(
        take(t("record.take_theirs", { who: who(by) }), theirs[name]), take(t("record.keep_mine"), mine[name], "main")));
  }
  function decide(name, label, value) {
    form.elements[name].value = value;
    put(open.get(name), h("legend", null, labelOf(name)), h("p", null, label + " ✓"));
    open.delete(name);
    if (open.size === 0) save();
    else focus();
  }
  // Who types a third text into the form has decided, too.
  const undecided = () => [...open.keys()].filter((name) => form.elements[name].value === mine[name]);
  function focus() {
    const name = undecided()[0];
    const set = name && open.get(name);
    (set?.querySelector("button") ?? element.querySelector("h2")).focus();
  }
  return { element, focus, decided: () => undecided().length === 0 };
}
