// The words of the console, in the language of the browser or the one that was chosen.

export const LANGUAGES = { en: "English", "pt-BR": "Português", es: "Español" };
const CHOICE = "clientes_language"; // in localStorage
let words = {};
export let language = "en";

// load reads the dictionary. It is called once, before the first word.
export async function load() {
  const wanted = [localStorage.getItem(CHOICE), ...navigator.languages].filter(Boolean);
  language = wanted.map(nearest).find(Boolean) ?? "en";
  words = await (await fetch(`/app/${language}.json`)).json();
  document.documentElement.lang = language;
}

const nearest = (tag) => {
  const all = Object.keys(LANGUAGES);
  return all.find((l) => l.toLowerCase() === tag.toLowerCase()) ?? all.find((l) => l.split("-")[0] === tag.split("-")[0]);
};

// choose keeps the choice of a language for the next load.
export const choose = (tag) => localStorage.setItem(CHOICE, tag);

// keepChoice runs work, which may be a logout that clears the storage, and keeps the choice over it.
export async function keepChoice(work) {
  const chosen = localStorage.getItem(CHOICE);
  try {
    return await work();
  } finally {
    if (chosen) choose(chosen);
  }
}

// t returns a text by its key, with {name} replaced by values.name. Keys are literals in the code, so that a test finds
// them all.
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name]);
}

export const date = (text) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
export const number = (n) => new Intl.NumberFormat(language).format(n);

// listSeparator returns what stands between the cells of CSV in a spreadsheet of the browser's language.
export const listSeparator = () => ((1.5).toLocaleString(navigator.language).includes(",") ? ";" : ",");

// seconds returns a time as it is read out.
export const seconds = (n) =>
  new Intl.NumberFormat(language, { style: "unit", unit: "second", unitDisplay: "long" }).format(n);

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const relative = (seconds) => {
  const [unit, size] = UNITS.find(([, s]) => Math.abs(seconds) >= s) ?? UNITS[3];
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
};

// ago returns how long ago an instant was: now within a minute, and the day if it was long ago.
export function ago(text) {
  const seconds = (new Date(text) - Date.now()) / 1000;
  if (seconds > -30 * 86_400) return relative(seconds > -60 ? 0 : seconds);
  return new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(text));
}

// Codes whose English sentence says more than the dictionary can: a place in a file, a limit, a value.
const EXACT = ["body_too_large", "conflict", "forbidden", "invalid_parameter", "malformed_body", "not_found"];

// message returns what to tell of an error. There are several codes for a session that has ended.
export function message(error) {
  if (language === "en" && EXACT.includes(error.code) && error.message) return error.message;
  return words["code." + error.code?.replace(/^(token_\w+|refresh_invalid)$/, "logged_out")]?.replace("{when}", relative(error.retryAfter ?? 60)) ?? error.message;
}

const EVENT = "audit.event.";

// events returns the kinds of events in the audit, and eventName what one is called.
export const events = () => Object.keys(words).filter((key) => key.startsWith(EVENT)).map((key) => key.slice(EVENT.length));
export const eventName = (kind) => words[EVENT + kind] ?? kind;

// faultMessage returns what to tell of a fault of one field. The server's own sentence is English. The figure in it, a
// limit or a place, goes into that of the dictionary.
export function faultMessage({ code, message }) {
  const own = words["fault." + code];
  if (!own || (language === "en" && message)) return message;
  return own.replace("{n}", number(/(?:character|most|least|than) (\d+)/.exec(message)?.[1]));
}
