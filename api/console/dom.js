// Elements. No text ever becomes markup: a child is an element or the text of one.

// h makes an element. A property that begins with "on" is a listener, "class", "for" and those with
// a hyphen are attributes, and false, null and undefined leave a property or a child out.
export function h(tag, properties, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name in e && name !== "list" && name !== "form") e[name] = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  put(e, children);
  return e;
}

// put replaces what is in an element.
export function put(e, ...children) {
  e.replaceChildren(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
}
