// The fields of a customer, and how the panel shows their texts.
import { h } from "./dom.js";
import { t } from "./words.js";

// fields are what can be written, with their limits as the server counts them.
export const fields = () => [
  { name: "name", label: t("record.name"), max: 200, required: true },
  { name: "email", label: t("field.email"), inputMode: "email" },
  { name: "phone", label: t("record.phone"), max: 40, inputMode: "tel", class: "num" },
  { name: "company", label: t("record.company"), max: 200 },
  { name: "address", label: t("record.address"), max: 500, rows: 2 },
  { name: "notes", label: t("record.notes"), max: 10_000, rows: 3 },
];
export const labelOf = (name) => fields().find((f) => f.name === name).label;

// who names the user of a change. One without a user was made on the command line.
export const who = (change) => (change ? change.user || t("record.command_line") : t("record.somebody"));

// was and is show an old text and a new one.
export const was = (text) => h("del", { dir: "auto" }, text || t("record.empty"));
export const is = (text) => h("ins", { dir: "auto" }, text || t("record.empty"));
