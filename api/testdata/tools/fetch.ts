// A client with openapi-typescript and openapi-fetch: node fetch.js SERVER USER PASSWORD
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [server, user, password] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl: server });

const login = await api.POST("/login", { body: { user, password } });
if (!login.data) throw new Error(login.error.code);
const token: string = login.data.token;
api.use({
  onRequest({ request }) {
    request.headers.set("x-access-token", token);
    return request;
  },
});

const created = await api.POST("/clientes", { body: { name: "Fay", email: "fay@example.com" } });
if (!created.data) throw new Error(created.error.message);
const fay: components["schemas"]["Cliente"] = created.data;

const changed = await api.PATCH("/clientes/{id}", {
  params: { path: { id: fay.id }, header: { "If-Match": `"${fay.version}"` } },
  body: { phone: "+55 31 97777-2222" },
});
if (changed.data?.version !== 2) throw new Error("not changed");

const late = await api.PATCH("/clientes/{id}", {
  params: { path: { id: fay.id }, header: { "If-Match": `"${fay.version}"` } },
  body: { phone: "" },
});
if (late.error?.code !== "version_mismatch") throw new Error("written over");

const refused = await api.POST("/clientes", { body: { name: "", email: "fay" } });
if (refused.error && "errors" in refused.error) {
  const fields: string[] = refused.error.errors.map((fault) => fault.field);
  if (fields.join() !== "name,email") throw new Error(fields.join());
} else throw new Error("not refused");

const page = await api.GET("/clientes", { params: { query: { q: "fay", sort: "-created_at", limit: 10 } } });
if (page.data?.length !== 1) throw new Error("not found");

const gone = await api.DELETE("/clientes/{id}", {
  params: { path: { id: fay.id }, header: { "If-Match": `"${changed.data.version}"` } },
});
if (gone.response.status !== 204) throw new Error("not deleted");
const out = await api.POST("/logout", {});
console.log(out.data?.auth === false ? "done" : "not logged out");
