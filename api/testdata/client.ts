// Uses all that client.d.ts offers. tsc --strict checks it: see .ci/run.
import {
  connect, solve, type Change, type Client, type Cliente, type ClienteInput, type ClientesError, type Conflict,
  type Fault, type Page, type Query, type Session, type Storage, type User,
} from "../client/client.js";

const keychain: Storage = { getItem: async () => null, setItem: async () => {}, removeItem() {} };
const api: Client = connect("https://api.example.com", {
  cookie: false,
  storage: keychain,
  onEnd: (code: string) => console.log(code),
  onSession: ({ user, endsAt }: Session) => console.log(user.role, new Date(endsAt)),
});
connect("", { cookie: true, storage: localStorage });

async function sessions(stop: AbortSignal): Promise<void> {
  const user: User = await api.login("ana", "password");
  await api.login("ana", "password", "123456");
  const onPuzzle = (done: number) => console.log(done);
  await api.login("ana", "password", { code: "123456", remember: true, onPuzzle, signal: stop });
  const session: Session = await api.refresh();
  const known: Session | undefined = api.session;
  const response: Response = await api.fetch("/clientes", { method: "HEAD" });
  const me = await api.json<{ email: string }>("GET", "/me");
  await api.json("PATCH", "/me", { email: me.email, current: "password" }, { "X-Request-Id": "mine" });
  console.log(user.id, session.endsAt, known?.user.user, response.status);
  await api.logout({ everywhere: true });
  // @ts-expect-error: a session is read, not written.
  api.session = undefined;
  // @ts-expect-error: there is no such role.
  user.role = "owner";
}

async function customers(stop: AbortSignal): Promise<void> {
  const { clientes } = api;
  const input: ClienteInput = { name: "Ana", phone: "1" };
  const made: Cliente = await clientes.create(input);
  const query: Query = { q: "ana", sort: "-name", limit: 10, count: "exact" };
  const first: Page<Cliente> = await clientes.page(query, { signal: stop });
  if (first.next) await clientes.page(first.next);
  for await (const { name } of clientes.list({ updated_since: "2026-01-01T00:00:00Z", email: "ana@example.com" })) {
    console.log(name.length, first.total?.toFixed());
  }
  const cursor: string | undefined = await api.follow("0", async ({ id, record, action }, cursor) => {
    console.log(id, record?.name, action === "erased", cursor);
    return action !== "deleted";
  }, { signal: stop, passive: true });
  await api.follow(cursor, () => {});
  await connect("https://api.example.com", { key: "clk_" }).follow(cursor, () => {});
  const saved = await clientes.update(made, { phone: "2" });
  const past: Page<Change> = await clientes.history(saved.id, { limit: 5 });
  const change = past.records[0];
  if (change?.action === "deleted") await clientes.restore(saved.id, change.record?.version ?? 1);
  await clientes.delete(await clientes.get(saved.id));
  const { imported, valid } = await clientes.import(new Blob(["name\nAna\n"]), {
    columns: ["name", "", "email"], header: "absent", charset: "windows-1252", type: "text/csv", dryRun: true,
    onProgress: (sent, all) => console.log(sent / all), signal: stop,
  });
  const csv: Response = await clientes.export({ q: "ana" }, "text/csv", { signal: stop });
  console.log(imported ?? valid, csv.body);
  // @ts-expect-error: a customer has a name.
  await clientes.create({ phone: "1" });
  // @ts-expect-error: the server sets the version.
  await clientes.update(made, { version: 2 });
}

async function refusals(): Promise<void> {
  try {
    await api.json("POST", "/signup", { user: "ana" });
  } catch (thrown) {
    const error = thrown as ClientesError;
    const faults: Fault[] = error.errors ?? [];
    const conflict: Conflict | undefined = error.conflict;
    if (conflict) {
      const theirs = conflict.fields.map((field) => conflict.theirs[field]);
      await api.clientes.update(conflict.theirs, { ...conflict.mine, name: theirs.join() });
    }
    const captcha: string = error.challenge ? await solve(error.challenge, { onPuzzle: console.log }) : "";
    console.log(error.code, error.status, error.request_id, error.retryAfter, captcha);
    console.log(faults[0]?.row, error.error_count);
  }
}
export { customers, refusals, sessions };
