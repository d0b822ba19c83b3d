// What a file of customers probably is: for the preview before an import. The server reads the file itself.

const HEAD = 64 << 10; // how many bytes of a file the preview reads

// MEANINGS are the texts of a customer that a column may hold, and what other programs and people
// who speak other languages call them: the names of which the server (api/wire) knows the meaning.
export const MEANINGS = {
  name: "fullname firstname givenname middlename lastname familyname surname fname lname contactname customername " +
    "customer nome sobrenome nomecompleto cliente nombre nombres apellido apellidos nom prenom vorname nachname",
  email: "emailaddress email1value email1 mail correo correoelectronico enderecodeemail",
  phone: "phonenumber phone1value phone1 mobilephone mobile mobilenumber cell primaryphone businessphone homephone " +
    "telephone tel telefone fone celular telefono movil whatsapp defaultaddressphone",
  company: "companyname organization organisation organizationname organization1name accountname associatedcompany " +
    "defaultaddresscompany empresa razaosocial organizacao organizacion",
  address: "addr street streetaddress address1formatted mailingstreet mailingcity mailingstate mailingstateprovince " +
    "mailingzip mailingzippostalcode mailingcountry businessstreet businesscity businessstate businesspostalcode " +
    "businesscountryregion defaultaddressaddress1 defaultaddressaddress2 defaultaddresscity " +
    "defaultaddressprovincecode defaultaddresscountrycode cardaddressline1 cardaddressline2 cardaddresscity " +
    "cardaddressstate cardaddresscountry cardaddresszip endereco rua direccion adresse",
  notes: "note description comment comments remarks nota notas obs observacao observacoes observaciones",
};

// kindOf returns "workbook", "json", "csv", or "other" for what is no text.
export async function kindOf(file, charset) {
  const bytes = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const is = (...start) => start.every((b, i) => b === bytes[i]);
  const zip = is(0x50, 0x4b, 3, 4);
  if (is(0xd0, 0xcf, 0x11, 0xe0) || (zip && !/\.zip$/i.test(file.name))) return "workbook";
  const text = await head(file, charset);
  if (zip || text.includes("\0") || /^(%PDF-|BEGIN:VCARD)/i.test(text)) return "other";
  return /\.(ndjson|jsonl|json)$/i.test(file.name) || /^\s*[{[]\s*["{}[\]]/.test(text) ? "json" : "csv";
}

// charsetOf returns the encoding that a file probably has, and whether a mark at its beginning says so.
export async function charsetOf(file) {
  const [a, b, c] = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  if (a === 0xff && b === 0xfe) return { charset: "utf-16le", marked: true };
  if (a === 0xfe && b === 0xff) return { charset: "utf-16be", marked: true };
  if (a === 0xef && b === 0xbb && c === 0xbf) return { charset: "utf-8", marked: true };
  if (a && b === 0 && c) return { charset: "utf-16le" };
  if (a === 0 && b) return { charset: "utf-16be" };
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = file.stream().getReader();
  for (;;) {
    const { value, done } = await reader.read(); // all of it: the first accent may be in its last row
    try {
      decoder.decode(value, { stream: !done });
    } catch {
      reader.cancel();
      return { charset: "windows-1252" };
    }
    if (done) return { charset: "utf-8" };
  }
}

// head returns the beginning of a file as text.
async function head(file, charset) {
  return new TextDecoder(charset).decode(await file.slice(0, HEAD).arrayBuffer(), { stream: true });
}

// preview returns the first rows of a CSV file that have something in them.
export async function preview(file, charset, most) {
  const found = rows(await head(file, charset), most + 1);
  if (file.size > HEAD && found.length > 1 && found.length <= most) found.pop(); // it may be cut
  return found.slice(0, most);
}

// rows returns the first rows of a text that have something in them.
export function rows(text, most) {
  text = text.replace(/^\ufeff?[\r\n]*/, "");
  const named = /^"?sep=(\\t|[,;|:^~!#$%&*+/\t])"?[,;\t| ]*(\r\n?|\n)/i.exec(text);
  if (named) text = text.slice(named[0].length).replace(/^[\r\n]+/, "");
  const comma = separator(text, named?.[1].replace("\\t", "\t"));
  const found = [];
  let row = [];
  for (let i = 0; i < text.length && found.length < most;) {
    let cell = "";
    const blanks = /[ \t\ufeff]*/y;
    blanks.lastIndex = i;
    const start = i + (comma === "\t" ? 0 : blanks.exec(text)[0].length);
    if (text[start] === '"') {
      for (i = start + 1; i < text.length; i++) {
        if (text[i] !== '"') cell += text[i];
        else if (text[i + 1] === '"') cell += text[i++];
        else break;
      }
      i++;
    }
    while (i < text.length && text[i] !== comma && text[i] !== "\n" && text[i] !== "\r") cell += text[i++];
    row.push(cell);
    if (text[i] === comma) {
      i++;
      if (i < text.length) continue;
      row.push(""); // the text ends with a separator
    }
    if (text[i] === "\r" && text[i + 1] === "\n") i++;
    i++;
    if (row.some((c) => c.trim())) found.push(row);
    row = [];
  }
  return found;
}

// separator returns the separator that the first row has. If it has several, that counts which the
// rows have as often as the first one.
function separator(text, named) {
  if (named && !",;\t".includes(named)) return named;
  const counts = [{}];
  let quoted = false, fresh = true; // fresh: a quote here opens
  for (const c of text) {
    if (c === '"' && (quoted || fresh)) {
      [quoted, fresh] = [!quoted, true];
    } else if (!quoted && (c === "\n" || c === "\r")) {
      if (counts.length === 20) break;
      if (Object.keys(counts.at(-1)).length) counts.push({});
      fresh = true;
    } else if (!quoted) {
      counts.at(-1)[c] = (counts.at(-1)[c] ?? 0) + 1;
      fresh = ",;\t".includes(c) || (c === " " && fresh);
    }
  }
  const has = [..."," + ";\t"].filter((c) => counts[0][c]);
  if (has.includes(named)) return named;
  const alike = (c) => counts.slice(1).filter((row) => row[c] === counts[0][c]).length;
  const score = (c) => alike(c) * 16384 + counts[0][c];
  return has.sort((a, b) => score(b) - score(a))[0] ?? named ?? ",";
}

// isHeading reports whether a first row names columns: it has no email and no phone.
export const isHeading = (first) => !first.some((cell) => ["email", "phone"].includes(likely(cell)));

// guess returns what the columns below such a first row are, as the server suggests it: the text's
// own name counts alone, else parts of names and addresses are joined, and the first of the others counts.
export function guess(first) {
  let names = first.map(meaning);
  const headings = names.some(Boolean);
  if (!headings) names = first.map(likely);
  for (const text of Object.keys(MEANINGS)) {
    const all = names.flatMap((name, i) => (name === text ? [i] : []));
    const own = all.filter((i) => first[i].toLowerCase().replace(/\s/g, "") === text);
    let keep = all.slice(0, 1);
    if (own.length) keep = own.slice(0, 1);
    else if (headings && (text === "name" || text === "address")) keep = all;
    for (const i of all) if (!keep.includes(i)) names[i] = "";
  }
  return names;
}

// meaning returns the text that a heading probably stands for, or "".
function meaning(heading) {
  const letters = heading.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  return Object.keys(MEANINGS).find((text) => text === letters || MEANINGS[text].split(" ").includes(letters)) ?? "";
}

// likely returns the text that a cell probably is, or "".
function likely(cell) {
  cell = cell.trim();
  if (/^[^\s@]+@[^\s@]*\.[^\s@]*$/.test(cell)) return "email";
  if (/^[\d+\-()./ ']*$/.test(cell)) return cell.replace(/\D/g, "").length >= 7 ? "phone" : "";
  return "name";
}
