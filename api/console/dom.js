// Elements, forms and dialogs. No text ever becomes markup: a child is an element or the text of one.
import { faultMessage, language, LANGUAGES, message, t } from "./words.js";

// h makes an element. A property that begins with "on" is a listener, and false, null and undefined leave a property
// or a child out. What the element has no property for is an attribute.
export function h(tag, properties, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name in e && name !== "list" && name !== "form") e[name] = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  if (children.length) put(e, children); // a textarea has its default text for a child already
  return e;
}

// put replaces what is in an element.
export function put(e, ...children) {
  e.replaceChildren(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
}

// button returns a button that calls onclick, and does not send a form.
export const button = (label, onclick, properties) => h("button", { type: "button", ...properties, onclick }, label);

// actions returns a row of buttons.
export const actions = (...buttons) => h("div", { class: "actions" }, buttons);

let ids = 0;
const newId = () => `e${++ids}`;

// field returns a label with its input, a hint, and room for a fault. With rows it is a textarea, with options
// ([[value, text]]) a select. What else is given goes to the input.
export function field({ name, label, type = "text", value, hint, rows, options, ...rest }) {
  const id = newId();
  const own = {
    ...rest, id, name, autocomplete: rest.autocomplete ?? "off", "aria-describedby": `${id}f` + (hint ? ` ${id}h` : ""),
  };
  const box = type === "checkbox";
  // The defaults and not the values, so that dirty() knows what was typed.
  const input = options ? h("select", own, options.map(([v, text]) =>
      h("option", { value: v, defaultSelected: String(v) === String(value ?? "") }, text)))
    : rows ? h("textarea", { ...own, rows, defaultValue: value ?? "" })
    : box ? h("input", { ...own, type, defaultChecked: Boolean(value) })
    : h("input", { ...own, type, defaultValue: value ?? "" });
  const caption = h("label", { for: id }, label);
  return h("div", { class: box ? "field check" : "field" }, box ? [input, caption] : [caption, input],
    hint && h("div", { class: "hint", id: id + "h" }, hint), h("div", { class: "fault", id: id + "f" }));
}

// codeField returns a field for a code of the second factor.
export const codeField = () => field({ name: "code", label: t("field.code"), hint: t("field.code_hint"),
  autocomplete: "one-time-code", autocapitalize: "none", spellcheck: false, required: true });

const inputs = (root) => [...root.querySelectorAll("input[name], textarea[name], select[name]")];
const visible = (input) => !input.closest("[hidden]");

// dirty reports whether there is a field in an element that has another value than at first.
export const dirty = (root) => inputs(root).some((e) =>
  e.options ? !([...e.options].find((o) => o.defaultSelected) ?? e.options[0])?.selected
    : e.type === "checkbox" || e.type === "radio" ? e.checked !== e.defaultChecked : e.value !== e.defaultValue);

// settle makes the value of a field the one that it has at first.
function settle(input) {
  for (const o of input.options ?? []) o.defaultSelected = o.selected;
  if (input.type === "checkbox" || input.type === "radio") input.defaultChecked = input.checked;
  else if (!input.options) input.defaultValue = input.value;
}

// form returns a form of fields (elements, or what field takes) with a button. It calls work with the values by name, of
// fields that are not hidden. While work runs, the button is disabled. If it rejects, the form shows why. cancel is
// called by a second button.
export function form({ fields, submit, danger, cancel }, work) {
  const send = h("button", { class: danger ? "main danger" : "main" }, submit);
  const e = h("form", { noValidate: true, autocomplete: "off", onsubmit: async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    const missing = inputs(e).filter((i) => i.required && visible(i) && !i.value.trim());
    if (missing.length) return showFaults(e, { errors: missing.map((i) => ({ field: i.name, code: "required" })) });
    send.disabled = true;
    e.ariaBusy = "true";
    try {
      await work(values(e));
      showFaults(e);
      for (const i of inputs(e)) settle(i);
    } catch (error) {
      showFaults(e, error);
    } finally {
      send.disabled = false;
      e.ariaBusy = null;
    }
  } },
  fields.map((f) => (f instanceof Node ? f : field(f))),
  actions(send, cancel && button(t("action.cancel"), cancel)));
  return e;
}

const values = (form) => Object.fromEntries(inputs(form)
  .filter((i) => visible(i) && (i.type !== "radio" || i.checked))
  .map((i) => [i.name, i.type === "checkbox" ? i.checked : i.value]));

// showFaults shows what is wrong with a form: at the field that a fault names, or else in a notice. Without an error,
// or if a person has cancelled the work, it only takes away what it has shown before.
export function showFaults(form, error) {
  form.querySelector(":scope > .notice")?.remove();
  for (const i of inputs(form)) at(i, "");
  if (!error || error.code === "cancelled") return;
  if (error.message && !error.code) console.error(error); // a mistake of ours, not an answer
  const first = [];
  const rest = [];
  for (const fault of error.errors ?? []) {
    const input = inputs(form).find((i) => i.name === fault.field && visible(i));
    if (!input) rest.push(fault);
    else if (!first.includes(input) && first.push(input)) at(input, faultMessage(fault));
  }
  if (!first.length || rest.length) {
    form.querySelector(":scope > .actions")?.before(notice(error.code ? message(error) : t("code.internal"),
      rest.length > 0 && h("ul", null, rest.map((f) => h("li", null, f.field, f.field && ": ", faultMessage(f))))));
  }
  first[0]?.focus();
}

function at(input, text) {
  const place = document.getElementById(input.id + "f") ?? input.closest(".field")?.querySelector(".fault");
  if (!place) return;
  put(place, text);
  input.ariaInvalid = text ? "true" : null;
}

// notice returns a text that is read out at once.
export const notice = (...children) => h("div", { class: "notice", role: "alert" }, children);

// page returns the element that has everything: a session that has ended hides it.
export const page = () => document.getElementById("page") ?? document.body;

// dialog opens a modal dialog; with alert it is a question that is read out. Escape and ✕ close it; if something was
// typed in it, or dirty() is true, it asks first. closed resolves to what close was called with. Focus returns to where
// it was.
export function dialog(title, content, options = {}) {
  const id = newId();
  const { promise, resolve } = Promise.withResolvers();
  const { alert = false, within = page() } = options;
  const isDirty = options.dirty ?? (() => dirty(body));
  const body = h("div", { class: "body", id: id + "b" }, content);
  const leave = async (event) => {
    event?.preventDefault();
    if (options.stays) return;
    if (options.onEscape) return options.onEscape();
    if (isDirty() && !(await discards())) return;
    close();
  };
  const element = h("dialog", {
    class: "box", role: alert ? "alertdialog" : undefined, "aria-labelledby": id,
    "aria-describedby": alert ? id + "b" : undefined,
    oncancel: (event) => event.target === element && leave(event),
    onkeydown: (event) => event.key === "Escape" && event.target.closest("dialog") === element && leave(event),
    // A browser may close it without asking, by a gesture for Back.
    onclose: (event) => event.target === element && (options.stays && !done ? element.showModal() : close()),
  },
  h("header", null, h("h2", { id }, title),
    !options.stays && !alert && button("✕", leave, { class: "plain icon", "aria-label": t("action.close") })),
  body, h("div", { class: "toasts", role: "status" }));
  let done = false;
  function close(value) {
    if (done) return;
    done = true;
    element.close();
    element.remove();
    if (document.activeElement === document.body) page().querySelector("main h1")?.focus();
    resolve(value);
  }
  within.append(element);
  element.showModal();
  if (!alert) body.querySelector("input, textarea, select")?.focus(); // and not ✕
  return { element, close, closed: promise };
}

// ask resolves to true if the person chooses an action that loses something, and to false if not.
export async function ask(title, text, action) {
  const d = dialog(title, [h("p", null, text), actions(
    button(action, () => d.close(true), { class: "main danger" }),
    button(t("action.cancel"), () => d.close(false), { autofocus: true }))], { alert: true });
  return (await d.closed) === true;
}

// discards asks whether an action may lose what is typed.
export const discards = (action = t("action.discard")) => ask(t("app.unsaved"), t("app.unsaved_text"), action);

// say shows a text for a while. It may have one action: { label, run }.
export function say(text, action) {
  const dialogs = page().querySelectorAll("dialog[open] > .toasts");
  const region = [...dialogs].at(-1) ?? page().querySelector(":scope > .toasts");
  if (!region) return;
  const toast = h("div", { class: "toast" }, h("span", null, text), action && button(action.label, () => {
    toast.remove();
    action.run();
  }));
  put(region, toast); // an older action may not fit what has been done since
  const away = () => (toast.matches(":hover, :focus-within") ? setTimeout(away, 2_000) : toast.remove());
  setTimeout(away, action ? 12_000 : 6_000);
}

// languageChoice returns a select of the languages. It calls change with itself.
export const languageChoice = (change) => h("select", {
  class: "language", "aria-label": t("app.language"), onchange: (event) => change(event.target),
}, Object.entries(LANGUAGES).map(([tag, label]) =>
  h("option", { value: tag, lang: tag, defaultSelected: tag === language }, label)));

// saveFile has the browser save what is in memory.
export function saveFile(name, blob) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // some browsers read it only when the person has agreed
}

// whileShown listens to the whole page as long as a view is in it.
export function whileShown(view, type, listener) {
  const heard = (event) => (view.isConnected ? listener(event) : document.removeEventListener(type, heard));
  document.addEventListener(type, heard);
}

// originNotice returns a notice if the page was opened at another address than the server's own, where no login works.
export function originNotice() {
  const own = (document.documentElement.dataset.origins ?? "").trim().split(/\s+/);
  if (own.includes(location.origin)) return undefined;
  return h("div", { class: "notice banner", role: "alert" },
    t("app.other_origin", { here: location.origin, own: own[0] }), " ",
    h("code", null, `PUBLIC_URL=${location.origin}`), " ", h("a", { href: own[0] + location.pathname }, own[0]));
}
