// The export of customers to a file.
import { actions, dialog, h, saveFile, say, showFaults } from "./dom.js";
import { api } from "./session.js";
import { listSeparator, number, t } from "./words.js";

// exportDialog asks for the format of a file of what a query selects. total is undefined if nobody has counted.
export function exportDialog(query, total) {
  const choice = (value, label, hint, checked) => h("label", { class: "choice" },
    h("input", { type: "radio", name: "type", value, defaultChecked: checked }), h("span", null, label, h("small", null, hint)));
  const done = h("p", { class: "muted", role: "status" });
  const submit = h("button", { class: "main" }, t("action.download"));
  const form = h("form", { onsubmit: work },
    h("p", null, about(query, total)),
    h("fieldset", { class: "choices" }, h("legend", null, t("customers.export_type")),
      choice("text/csv", "CSV", t("customers.export_csv"), true),
      choice("application/x-ndjson", "NDJSON", t("customers.export_ndjson"))),
    done, actions(submit));
  const stop = new AbortController();
  const shown = dialog(t("customers.export_title"), form, { dirty: () => false });
  shown.closed.then(() => stop.abort());

  async function work(e) {
    e.preventDefault();
    const type = form.elements.type.value;
    const name = "customers." + (type === "text/csv" ? "csv" : "ndjson");
    const tell = (megabytes) => (done.textContent = t("customers.exported", { size: number(megabytes) }));
    submit.disabled = true;
    try {
      // The place is chosen first: a browser shows the chooser only in answer to a click.
      const handle = await globalThis.showSaveFilePicker?.({ suggestedName: name });
      const response = await api.clientes.export(query, type, { signal: stop.signal });
      let counted = response.body.pipeThrough(counter(tell));
      if (type === "text/csv") {
        counted = counted.pipeThrough(new TextDecoderStream()).pipeThrough(forSpreadsheets()).pipeThrough(new TextEncoderStream());
      }
      if (handle) await counted.pipeTo(await handle.createWritable(), { signal: stop.signal });
      else saveFile(name, await new Response(counted).blob());
      shown.close();
      say(t("customers.export_done", { name: handle?.name ?? name }));
    } catch (error) {
      done.textContent = "";
      if (error.name !== "AbortError") showFaults(form, error);
    }
    submit.disabled = false;
  }
}

function about(query, total) {
  if (total === undefined) return query.q ? t("customers.export_found", { q: query.q }) : t("customers.export_all");
  const n = number(total);
  return query.q ? t("customers.export_found_n", { q: query.q, n }) : t("customers.export_all_n", { n });
}

// counter passes bytes on, and calls tell with each full megabyte.
function counter(tell) {
  let bytes = 0;
  return new TransformStream({
    transform(part, out) {
      const before = Math.floor(bytes / 1e6);
      bytes += part.byteLength;
      if (Math.floor(bytes / 1e6) > before) tell(Math.floor(bytes / 1e6));
      out.enqueue(part);
    },
  });
}

// forSpreadsheets makes of CSV what Excel opens by itself: a byte order mark goes first, and the separator is that of its
// language. Every cell gets quotes, because it may have the separator in it.
function forSpreadsheets() {
  const separator = listSeparator();
  let rest = ""; // the beginning of a line
  let quoted = false;
  const turn = (part) => {
    if (part === '"') quoted = !quoted;
    return quoted || part === '"' ? part : part === "," ? separator : `"${part}"`;
  };
  return new TransformStream({
    start: (out) => out.enqueue("\ufeff"),
    transform(text, out) {
      const end = (rest + text).lastIndexOf("\n") + 1; // of the last whole line, as the end of a file is
      out.enqueue((rest + text).slice(0, end).replace(/[",]|[^",\r\n]+/g, turn));
      rest = (rest + text).slice(end);
    },
  });
}
