// The words of the console, in the language of the browser or the one that was chosen.

const LANGUAGES = ["en", "pt-BR", "es"];
let words = {};
export let language = "en";

// load reads the dictionary. It is called once, before the first word.
export async function load() {
  const wanted = [localStorage.getItem("clientes_language"), ...navigator.languages].filter(Boolean);
  language = wanted.map(nearest).find(Boolean) ?? "en";
  words = await (await fetch(`/app/${language}.json`)).json();
  document.documentElement.lang = language;
}
const nearest = (tag) =>
  LANGUAGES.find((l) => l.toLowerCase() === tag.toLowerCase()) ?? LANGUAGES.find((l) => l.split("-")[0] === tag.split("-")[0]);

// t returns a text by its key, with {name} replaced by values.name. Keys are literals in the code,
// so that a test finds them all.
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name]);
}

export const date = (text) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
export const number = (n) => new Intl.NumberFormat(language).format(n);

// message returns what to tell of an error: by its code, or else what the server says.
export const message = (error) => words["code." + error.code] ?? error.message;
