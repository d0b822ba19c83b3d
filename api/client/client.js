// One login at a clientes server. A promise rejects with the server's `code`, or as fetch does when the network fails.
// onEnd(code) is called when the user has to log in again.
export function connect(server, { cookie = false, storage = memory(), onEnd = () => {}, onSession = () => {} } = {}) {
  let access; // the access token; undefined until we know, null when logged out
  let user; // whose it is
  let endsAt; // when the session ends if nobody uses it
  let refreshing; // the refresh under way, which all calls share

  function send(path, options, token) {
    const headers = new Headers(options.headers);
    if (token) headers.set("x-access-token", token);
    return fetch(server + path, { ...options, headers });
  }
  const json = (body) => ({
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    credentials: cookie ? "include" : "omit", signal: AbortSignal.timeout(10_000),
  });
  function refuse({ message, code, errors }, over) {
    if (over) access = null;
    if (over) onEnd(code);
    throw Object.assign(new Error(message), { code, errors });
  }
  async function keep(answer) {
    if (!answer.token) refuse(answer); // a 503, say: the refresh token stays where it is
    if (answer.refresh_token) await storage.setItem(KEY, answer.refresh_token); // else it is in the cookie
    access = answer.token;
    user = answer.user;
    endsAt = Date.now() + answer.refresh_expires_in * 1000;
    onSession({ user, endsAt });
    return user;
  }

  async function renew(old) {
    let token;
    const ask = async () => {
      token = await storage.getItem(KEY); // the newest, whichever tab got it
      return (await send("/refresh", json({ refresh_token: token }))).json();
    };
    if (access !== old) return; // a login came first
    let answer = await ask().catch(ask); // a lost answer comes again
    if (answer.code === "refresh_invalid" && token !== (await storage.getItem(KEY))) {
      answer = await ask(); // another tab has logged in meanwhile
    }
    if (access !== old) return; // a logout came first
    if (answer.code === "refresh_invalid") {
      await storage.removeItem(KEY);
      refuse(answer, true);
    }
    if (answer.user && user && answer.user.id !== user.id) refuse(somebodyElse, true);
    await keep(answer);
  }
  async function refresh(old) {
    if (access === old && access !== null) {
      await (refreshing ??= alone(() => renew(old)).finally(() => (refreshing = undefined)));
    }
    return access || refuse({ message: "Log in first.", code: "logged_out" });
  }

  // A user with a second factor needs a code: without one it rejects with mfa_required.
  async function login(user, password, options = {}) {
    const { code, remember } = typeof options === "string" ? { code: options } : options;
    return alone(async () => {
      const device = await storage.getItem(DEVICE); // so that strangers who fail under this name do not keep us out
      const answer = await (await send("/login", json({ user, password, code, device, cookie, remember }))).json();
      if (answer.device) await storage.setItem(DEVICE, answer.device); // else it is in a cookie
      return keep(answer);
    });
  }
  // As the global fetch, but with a path. It may send the request twice, so the body cannot be a stream.
  async function call(path, options = {}) {
    const whose = user;
    let token = access || (await refresh(access));
    let response = await send(path, options, token);
    if ((await refusal(response)).code === "token_expired") {
      token = await refresh(token);
      if (whose && whose.id !== user.id) refuse(somebodyElse);
      response = await send(path, options, token);
    }
    const answer = await refusal(response);
    if (answer.code === "token_revoked" || answer.code === "token_invalid") refuse(answer, access === token);
    return response;
  }
  async function logout({ everywhere = false } = {}) {
    if (everywhere) await refresh(access); // it takes a token that is good
    const response = await send("/logout", json({ everywhere, refresh_token: await storage.getItem(KEY) }), access);
    if (!response.ok) refuse(await response.json()); // nothing is forgotten: try again
    access = null;
    await storage.removeItem(KEY);
  }

  // The body of an answer. A refusal rejects.
  async function ask(method, path, body, headers = {}) {
    const response = await call(path, {
      method, headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return bodyOf(response);
  }
  async function bodyOf(response) {
    const text = await response.text();
    const answer = text ? JSON.parse(text) : undefined;
    if (!response.ok) {
      throw Object.assign(new Error(answer.message), answer, {
        status: response.status, retryAfter: Number(response.headers.get("Retry-After")) || undefined,
      });
    }
    return answer;
  }
  async function page(path, query, { signal } = {}) {
    const url = typeof query === "string" ? query : path + queryString(query);
    const response = await call(url, { signal });
    const next = /<([^>]*)>; *rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    const total = response.headers.get("X-Total-Count");
    return { records: await bodyOf(response), next, total: total === null ? undefined : Number(total) };
  }
  const tag = (version) => ({ "If-Match": `"${version}"` });
  const clientes = {
    page: (query, options) => page("/clientes", query, options),
    async *list(query) {
      for (let url = "/clientes" + queryString(query); url; ) {
        const { records, next } = await page("/clientes", url);
        yield* records;
        url = next;
      }
    },
    get: (id) => ask("GET", `/clientes/${id}`),
    create: (cliente) => ask("POST", "/clientes", cliente, { "Idempotency-Key": crypto.randomUUID() }),
    update: (base, changes) => ask("PATCH", `/clientes/${base.id}`, changes, tag(base.version)),
    delete: (base) => ask("DELETE", `/clientes/${base.id}`, undefined, tag(base.version)),
    history: (id, query) => page(`/clientes/${id}/history`, query),
    restore: (id, version) => ask("POST", `/clientes/${id}/restore`, { version }),
    async import(file, { columns, header, charset, type = "text/csv", dryRun, onProgress = () => {}, signal } = {}) {
      const media = type + (charset ? `; charset=${charset}` : "") + (header ? `; header=${header}` : "");
      const query = queryString({ dry_run: dryRun || undefined, columns: columns?.join(",") });
      const response = await call("/clientes/import" + query, {
        method: "POST", headers: { "Content-Type": media }, body: file, signal,
      });
      return bodyOf(response);
    },
    export: (query, type = "text/csv", { signal } = {}) =>
      call("/clientes/export" + queryString(query), { headers: { Accept: type }, signal }),
  };
  async function use() {
    await refresh(access ?? undefined);
    return { user, endsAt };
  }
  return {
    login, fetch: call, logout, json: ask, refresh: use, clientes,
    get session() { return access ? { user, endsAt } : undefined; },
  };
}

function queryString(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length ? "?" + new URLSearchParams(given) : "";
}

const KEY = "clientes_refresh"; // in the storage, and the name of the lock
const DEVICE = "clientes_device"; // in the storage; a logout leaves it
const somebodyElse = { message: "Somebody else has logged in.", code: "user_changed" };

// Tabs refresh one after the other where the browser has locks. Where not, tabs that send the same token at about the
// same time get the same answer.
const alone = (work) => (globalThis.navigator?.locks ? navigator.locks.request(KEY, work) : work());

// What a 401 says.
const refusal = async (response) => (response.status === 401 ? response.clone().json().catch(() => ({})) : {});

function memory() {
  const kept = new Map();
  return { getItem: (k) => kept.get(k), setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
}
