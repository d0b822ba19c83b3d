// A client with @hey-api/openapi-ts: node heyapi.js SERVER USER PASSWORD
import { client } from "./heyapi/client.gen.js";
import { changeCliente, createCliente, deleteCliente, listClientes, login, logout } from "./heyapi/index.js";

declare const process: { argv: string[] };
const [server, user, password] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl: server, throwOnError: true });

const { data: session } = await login({ body: { user, password }, throwOnError: true });
client.setConfig({ auth: () => session.token });

const { data: hal } = await createCliente({ body: { name: "Hal" }, throwOnError: true });
const { data: changed } = await changeCliente({
  path: { id: hal.id }, headers: { "If-Match": `"${hal.version}"` }, body: { notes: "Calls on Mondays." },
  throwOnError: true,
});
if (changed.version !== 2) throw new Error("not changed");
const { data: page } = await listClientes({ query: { q: "Hal" }, throwOnError: true });
if (page.length !== 1) throw new Error("not found");
await deleteCliente({
  path: { id: hal.id }, headers: { "If-Match": `"${changed.version}"` }, throwOnError: true,
});
const { data: end } = await logout({ throwOnError: true });
console.log(end.token === null ? "done" : "not logged out");
