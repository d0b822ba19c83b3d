// Import: a file is chosen, shown with the meaning of each column, checked by the server, and imported.
import { actions, button, h, notice, put, saveFile, whileShown } from "./dom.js";
import { faultMessage, language, listSeparator, message, number, t } from "./words.js";
import { api } from "./session.js";
import { heading, table } from "./parts.js";
import { fields } from "./fields.js";
import { charsetOf, guess, isHeading, kindOf, preview } from "./csv.js";

const LARGEST = 256 << 20; // the most that the server takes, in bytes
const SHOWN = 5; // rows of the preview
const CHARSETS = [
  "utf-8", "windows-1252", "macintosh", "windows-1250", "windows-1251", "utf-16le", "utf-16be", "shift_jis", "gb18030",
];

export async function show(main) {
  let file, kind, charset, marked, rows, header, columns; // what was chosen, and how it is read
  let running; // the AbortController of a transfer
  let changed = false; // whether somebody has said what a column is

  const input = h("input", { type: "file", id: "import-file", class: "unseen", onchange: () => choose(input.files[0]) });
  const picked = h("span");
  const drop = h("label", { class: "drop", for: "import-file" }, input, picked);
  const reading = h("div"); // the preview, and the meaning of each column
  const outcome = h("div", { class: "outcome" });
  const live = h("p", { class: "unseen", role: "status" });
  const view = h("div", { class: "import" },
    h("div", { class: "bar" }, heading(t("import.title")), h("a", { href: "#/customers" }, t("import.back"))),
    drop, reading, outcome, live);
  const tell = (text) => put(live, text);

  function describe() {
    drop.classList.toggle("chosen", Boolean(file));
    put(picked, file
      ? [h("strong", null, file.name), h("span", { class: "muted num" }, size(file.size)), h("span", { class: "link" }, t("import.another"))]
      : [h("strong", null, t("import.choose")), h("span", { class: "muted" }, t("import.drop")),
        h("span", { class: "muted" }, t("import.kinds"))]);
  }

  const refuse = (...content) => put(outcome, notice(...content));

  async function choose(chosen) {
    input.value = ""; // so that the same file can be chosen again, when it was corrected
    if (!chosen || running) return;
    file = chosen;
    describe();
    put(reading);
    put(outcome);
    if (file.size > LARGEST) return refuse(t("import.too_large", { size: size(file.size) }));
    if (file.size === 0) return refuse(t("import.empty"));
    try {
      ({ charset, marked } = await charsetOf(chosen));
      kind = await kindOf(chosen, charset);
      if (file !== chosen) return; // another one was chosen meanwhile
      if (kind === "workbook") return refuse(h("p", null, t("import.workbook")), h("p", null, t("import.workbook_how")));
      if (kind === "other") return refuse(t("import.other"));
      columns = undefined;
      changed = false;
      await read();
    } catch {
      if (file === chosen) refuse(t("import.unreadable"));
    }
  }

  // read shows what is in the file, as its encoding says.
  async function read() {
    if (kind === "json") {
      put(reading, h("p", null, t("import.json")));
      ready();
      return;
    }
    rows = await preview(file, charset, SHOWN + 1);
    if (!rows.length) return refuse(t("import.empty"));
    header = isHeading(rows[0]);
    const width = Math.max(...rows.map((row) => row.length));
    columns = guess(rows[0]);
    while (columns.length < width) columns.push("");
    const body = h("tbody");
    const headings = columns.map((_, i) => h("th", { scope: "col", id: `import-column-${i}` }));
    const fill = () => {
      headings.forEach((th, i) => put(th, (header && rows[0][i]?.trim()) || t("import.column", { number: number(i + 1) })));
      put(body, rows.slice(header ? 1 : 0).slice(0, SHOWN).map((row) => h("tr", null, columns.map((_, i) => h("td", null, row[i])))));
    };
    fill();
    const first = h("input", { type: "checkbox", checked: header, onchange: () => { header = first.checked; fill(); ready(); } });
    put(reading, h("fieldset", null,
      h("legend", { class: "unseen" }, t("import.how")),
      h("div", { class: "bar" },
        h("label", { class: "check" }, first, t("import.header")),
        marked ? null : h("label", { class: "encoding" }, t("import.charset"), select(CHARSETS.map((c) => [c, c]), charset, async (value) => {
          charset = value;
          await read();
          reading.querySelector(".encoding select").focus();
        }))),
      h("p", { class: "muted", id: "import-meaning" }, t("import.meaning")),
      h("div", { class: "scroll", role: "region", tabIndex: 0, "aria-label": t("import.preview") }, h("table", { class: "preview" },
        h("thead", null, h("tr", null, headings),
          h("tr", null, columns.map((c, i) => h("td", null, select([["", t("import.leave_out")], ...fields().map((f) => [f.name, f.label])],
            c, (value) => { columns[i] = value; changed = true; ready(); }, `import-meaning import-column-${i}`))))),
        body))));
    tell(t("import.read", { columns: number(columns.length) }));
    ready();
  }

  // next shows how it stands, with the step that comes next.
  function next(content, ...buttons) {
    put(outcome, content, actions(buttons));
  }
  const check = () => button(t("import.check"), () => send(true), { class: "main" });

  // ready offers to check the file, after each choice of how to read it.
  function ready() {
    const joined = columns?.some((c, i) => c && columns.indexOf(c) !== i);
    next(joined ? h("p", { class: "muted" }, t("import.joined")) : null, check());
  }

  async function send(dryRun) {
    if (columns && !columns.includes("name")) {
      next(notice(t("import.no_name")), check());
      reading.querySelector("table select").focus();
      return;
    }
    const mine = running = new AbortController();
    let arrived = false; // all of the file, so that the server may have imported it
    const bar = h("progress", { max: file.size, value: 0, "aria-label": dryRun ? t("import.checking") : t("import.importing") });
    const text = h("span", { class: "muted num" });
    const cancel = button(t("action.cancel"), () => mine.abort());
    const fieldset = reading.querySelector("fieldset");
    if (fieldset) fieldset.disabled = true;
    input.disabled = true;
    const stage = (of) => {
      put(text, of);
      tell(of);
    };
    put(outcome, h("div", { class: "running" }, bar, text, cancel));
    cancel.focus();
    tell(t("import.sending"));
    try {
      const answer = await api.clientes.import(file, {
        type: kind === "json" ? "application/x-ndjson" : "text/csv",
        columns: columns && [...columns], header: columns && !header ? "absent" : undefined,
        charset: marked || charset === "utf-8" ? undefined : charset,
        dryRun, signal: mine.signal,
        onProgress(sent, all) {
          if (!view.isConnected) return mine.abort();
          if (arrived) return;
          if (sent < all) {
            bar.value = sent;
            put(text, t("import.sent", { sent: size(sent), all: size(all) }));
          } else {
            arrived = true;
            bar.removeAttribute("value");
            stage(dryRun ? t("import.checking") : t("import.importing"));
          }
        },
      });
      (dryRun ? checked : imported)(answer);
    } catch (error) {
      if (error.errors?.length) faulty(error);
      else failed(error, dryRun, mine.signal.aborted, arrived);
    } finally {
      running = undefined;
      if (fieldset) fieldset.disabled = false;
      input.disabled = false;
    }
  }

  function failed(error, dryRun, cancelled, arrived) {
    const lost = !dryRun && (cancelled ? arrived : error.code === "network");
    const told = notice(cancelled ? null : message(error), " ", lost ? t("import.unsure") : cancelled ? t("import.cancelled") : null);
    next(told, dryRun ? check() : button(t("import.again"), () => send(false), { class: "main" }));
    tell("");
    focusOn(told);
  }

  function checked({ valid }) {
    if (valid === 0) return next(notice(t("import.nothing")), check());
    const label = valid === 1 ? t("import.import_one") : t("import.import", { number: number(valid) });
    const go = button(label, () => send(false), { class: "main" });
    const text = valid === 1 ? t("import.valid_one") : t("import.valid", { number: number(valid) });
    next(h("p", { class: "notice info" }, text), go);
    tell(text);
    go.focus();
  }

  function imported(answer) {
    const text = answer.imported === 1 ? t("import.imported_one") : t("import.imported", { number: number(answer.imported) });
    const link = h("a", { href: "#/customers?sort=-created_at" }, t("import.see"));
    file = columns = undefined;
    changed = false;
    describe();
    put(reading);
    put(outcome, h("p", { class: "notice info" }, text, " ", link));
    tell(text);
    link.focus();
  }

  function faulty(error) {
    const faults = error.errors;
    const all = error.error_count ?? faults.length;
    const title = h("h2", { tabIndex: -1 }, all === 1 ? t("import.faults_one") : t("import.faults", { number: number(all) }));
    next([
      h("div", { role: "alert" }, title),
      h("p", null, faults.every((f) => !f.row) ? t("import.faults_file") : t("import.faults_rows")),
      all > faults.length ? h("p", null, t("import.first", { shown: number(faults.length), all: number(all) })) : null,
      table(headings(), faults.map((f) => h("tr", null,
        h("td", { class: "num" }, f.row ? number(f.row) : t("import.whole")), h("td", null, fieldName(f)), h("td", null, what(f)))),
      { class: "faults", tabIndex: 0, "aria-label": t("import.faults_label") }),
    ], check(), button(t("import.download"), () => download(faults)));
    tell("");
    focusOn(title);
  }

  main.dirty = () => view.isConnected && (changed || Boolean(running));
  whileShown(view, "dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  whileShown(view, "dragleave", () => drop.classList.remove("over"));
  whileShown(view, "drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
  whileShown(view, "paste", (event) => {
    if (event.target.closest?.("dialog")) return;
    const text = event.clipboardData.getData("text/plain");
    const copied = event.clipboardData.files[0];
    if (text.trim()) choose(new File([text], t("import.pasted"), { type: "text/csv" }));
    else if (copied) choose(copied);
  });
  describe();
  put(main, view);
}

const headings = () => [t("import.row"), t("import.field"), t("import.fault")];
const fieldName = (fault) => fields().find((f) => f.name === fault.field)?.label ?? fault.field;

// what returns what is wrong. Of what the server says in English, other languages have it after their own words, because
// it names the place.
function what(fault) {
  const text = faultMessage(fault);
  const exact = ["malformed", "invalid_text", "spreadsheet", "wrong_columns"].includes(fault.code) && text !== fault.message;
  return exact ? `${text} (${fault.message})` : text;
}

// download saves the faults as a CSV file that a spreadsheet opens and does not run.
function download(faults) {
  const lines = [headings(),
    ...faults.map((f) => [f.row || t("import.whole"), fieldName(f), what(f)])];
  const cell = (value) => `"${String(value).replace(/^(?=[=+\-@\t\r])/, "'").replaceAll('"', '""')}"`;
  const text = "\ufeff" + lines.map((line) => line.map(cell).join(listSeparator()) + "\r\n").join("");
  saveFile(t("import.faults_name"), new Blob([text], { type: "text/csv" }));
}

function select(options, value, chosen, labelledBy) {
  return h("select", { "aria-labelledby": labelledBy, onchange: (event) => chosen(event.target.value) },
    options.map(([v, text]) => h("option", { value: v, selected: v === value }, text)));
}

function focusOn(e) {
  e.tabIndex = -1;
  e.focus();
}

function size(bytes) {
  const unit = bytes < 1e6 ? "kilobyte" : "megabyte";
  const style = { style: "unit", unit, maximumFractionDigits: 1 };
  return new Intl.NumberFormat(language, style).format(Math.max(0.1, bytes / (unit === "kilobyte" ? 1e3 : 1e6)));
}
