// One login, or one key, at a clientes server: https://…/docs has the API, client.d.ts the types of this module. A
// promise rejects with an Error that has the server's `code`, or "network". onEnd(code) is called when the user has to
// log in again.
export function connect(server, options = {}) {
  const { key, onEnd = () => {}, onSession = () => {} } = options;
  const isKey = key !== undefined; // of a program, which shares nothing with the logins of people
  const { cookie = false, storage = memory() } = isKey ? {} : options;
  server = server.replace(/\/+$/, ""); // paths begin with one
  // What take() got; undefined until we know, null when logged out.
  let session = isKey ? { token: key, goodFor: Infinity, received: 0, since: 0 } : undefined;
  let user; // whose it is, or was
  let refreshing; // the refresh under way, which all calls share
  let leaving; // the last logout
  let over; // what ended the last session
  let solved; // a solution of a puzzle that the server has not used up

  // ---- the session

  async function send(path, options, token, signal = options.signal) {
    const headers = new Headers(options.headers);
    if (token) headers.set("x-access-token", token);
    try {
      // No answer is for a cache, and Chromium's has equal requests wait for each other.
      return await fetch(server + path, { cache: "no-store", ...options, headers });
    } catch (error) {
      throw signal?.aborted ? error : lost("The server cannot be reached.", { cause: error });
    }
  }
  // The answer of a route for anybody, a refusal too.
  async function post(path, body, { token, signal = null } = {}) {
    const timeout = AbortSignal.timeout(10_000);
    const options = {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      credentials: cookie ? "include" : "omit",
      signal: signal && AbortSignal.any ? AbortSignal.any([signal, timeout]) : timeout,
    };
    const response = await send(path, options, token, signal);
    return { ...(await parse(response)), ...about(response) };
  }
  function end(answer) {
    [session, over] = [null, answer];
    onEnd(answer.code);
  }
  function refuse(answer, ends) {
    if (ends) end(answer);
    throw Object.assign(new Error(answer.message), answer);
  }
  // What is refused while a logout waits for its answer may be its doing.
  const left = () => leaving?.catch(() => {});

  // Takes a session that a login or a refresh returned, in this tab or in another one.
  function take(given) {
    session = { ...given, received: performance.now() - (Date.now() - given.since) };
    ({ user } = given);
    others.done();
    onSession({ user, endsAt: given.endsAt });
  }
  async function keep(answer, kind) {
    if (!answer.token) refuse(answer); // a 503, say: the refresh token stays where it is
    const now = Date.now();
    if (answer.refresh_token) await storage.setItem(KEY, answer.refresh_token); // else it is in the cookie
    if (kind === "refresh" && session === null) return storage.removeItem(KEY); // a logout came meanwhile
    take({
      token: answer.token, user: answer.user, since: now, goodFor: answer.expires_in * 1000,
      endsAt: now + answer.refresh_expires_in * 1000,
    });
    others.tell(kind, session);
  }

  async function renew(old, now) {
    if (session) await others.wait();
    else if (!now) await others.ask();
    let token;
    const ask = async () => {
      token = await storage.getItem(KEY); // the newest, whichever tab got it
      return post("/refresh", { refresh_token: token });
    };
    if (session !== old) return; // a login came first, or the refresh of another tab
    let answer = await ask().catch(ask); // a lost answer comes again
    if (answer.code === "refresh_invalid" && token !== (await storage.getItem(KEY))) {
      answer = await ask(); // another tab has logged in meanwhile
    }
    const refused = answer.code === "refresh_invalid";
    if (refused) await left();
    if (session !== old) return; // a logout came first
    if (refused) {
      await storage.removeItem(KEY);
      refuse(answer, true);
    }
    if (answer.user && user && answer.user.id !== user.id) refuse(somebodyElse, true);
    await keep(answer, "refresh");
  }
  async function refresh(old, now) {
    if (isKey) return session || refuse(over);
    if (session === old && session !== null) {
      await (refreshing ??= alone(() => renew(old, now)).finally(() => (refreshing = undefined)));
    }
    return session || refuse(old && over ? over : loggedOut); // a call that was under way learns what the end was
  }
  // Returns the session, refreshed if its token expires soon. No timer does that: a session that nobody uses ends.
  async function current() {
    const old = session;
    if (old && !endsSoon(old)) return old;
    return refresh(old).catch((error) => {
      if (!old || session !== old || age(old) > old.goodFor) throw error;
      return old; // the server cannot refresh now, and the token is still good
    });
  }

  // A user with a second factor needs a code: without one it rejects with mfa_required. With an object of options, a
  // login that has to wait solves a puzzle instead, if the server offers one.
  async function login(name, password, options) {
    const given = typeof options === "object" ? options : undefined;
    const { code, remember, onPuzzle, signal } = given ?? { code: options ?? undefined };
    let captcha = solved?.name === name ? solved.captcha : undefined;
    for (let puzzles = 0; ; puzzles++) {
      const answer = await alone(async () => {
        const device = await storage.getItem(DEVICE); // so that strangers who fail under this name do not keep us out
        const body = { user: name, password, code, device, cookie, remember, captcha };
        const answer = await post("/login", body, { signal });
        if (answer.device) await storage.setItem(DEVICE, answer.device); // else it is in a cookie
        if (answer.token) await keep(answer, "login");
        return answer;
      });
      solved = answer.code === "mfa_required" || answer.status === 503 ? { name, captcha } : undefined;
      if (answer.token) return answer.user;
      if (!given || !answer.challenge || puzzles === 3) refuse(answer);
      captcha = await solve(answer.challenge, { onPuzzle, signal });
    }
  }
  async function logout({ everywhere = false } = {}) {
    if (everywhere) await refresh(session); // it takes a token that is good
    const body = { everywhere, refresh_token: await storage.getItem(KEY) };
    leaving = post("/logout", body, { token: key ?? session?.token });
    const answer = await leaving;
    if (answer.status !== 200) refuse(answer); // nothing is forgotten: try again
    [session, over] = [null, loggedOut];
    others.tell("logout");
    await storage.removeItem(KEY);
  }
  async function use() {
    await refresh(session ?? undefined, true);
    return { user, endsAt: session.endsAt };
  }

  // The tabs of one browser have one session in cookie mode. A tab tells the others of its login, refresh and logout,
  // and asks before its first call. A page's origin alone can listen, and could send the cookie, too.
  const others = cookie && globalThis.location && globalThis.BroadcastChannel ? tabs(server, hear) : nobody;
  function hear(kind, theirs) {
    const same = !user || user.id === theirs?.user.id; // a tab does not become somebody else
    if (kind === "ask" && session && !endsSoon(session)) others.tell("here", session);
    if (kind === "logout" && session) end(loggedOut);
    if (kind === "login" && session && !same) end(somebodyElse);
    const wanted = { login: true, refresh: session !== null, here: others.asking };
    if (wanted[kind] && same) take(theirs);
  }

  // ---- calls

  // As the global fetch, but with a path. It may send the request twice, so the body cannot be a stream.
  async function call(path, options = {}, transport = send) {
    const whose = user;
    const sendAs = (now) => {
      if (whose && whose.id !== user.id) refuse(somebodyElse);
      return transport(path, options, now.token);
    };
    let used = await current();
    let response = await sendAs(used);
    if (!isKey && (await refusal(response)).code === "token_expired") {
      used = await refresh(used);
      response = await sendAs(used);
    }
    const answer = await refusal(response);
    if (["token_revoked", "token_invalid", isKey && "token_expired"].includes(answer.code)) {
      await left();
      refuse(session ? { ...answer, ...about(response) } : over, session === used);
    }
    return response;
  }
  async function json(method, path, body, headers = {}) {
    const type = body === undefined ? {} : { "Content-Type": "application/json" };
    return read(await call(path, { method, headers: { ...type, ...headers }, body: JSON.stringify(body) }));
  }
  async function page(path, query, { signal } = {}) {
    const response = await call(typeof query === "string" ? query : path + queryString(query), { signal });
    const next = /<([^>]*)>; *rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    const total = response.headers.get("X-Total-Count");
    return { records: await read(response), next, total: total === null ? undefined : Number(total) };
  }

  const one = (id) => "/clientes/" + encodeURIComponent(id);
  const ifStill = (version) => ({ "If-Match": `"${version}"` });
  async function update(base, changes) {
    const changed = ([field, value]) => value !== undefined && !same(value, base[field]);
    const mine = Object.fromEntries(Object.entries(changes).filter(changed));
    let theirs = base;
    for (let tries = 1; Object.keys(mine).length; tries++) {
      try {
        return await json("PATCH", one(base.id), mine, ifStill(theirs.version));
      } catch (error) {
        if (error.code !== "version_mismatch" || tries === 10) throw error;
      }
      theirs = await json("GET", one(base.id)); // somebody has written in between
      for (const field of Object.keys(mine)) if (same(mine[field], theirs[field])) delete mine[field];
      const fields = Object.keys(mine).filter((field) => !same(base[field], theirs[field]));
      if (fields.length) {
        const message = "Somebody else has changed the same fields.";
        refuse({ message, code: "conflict_fields", conflict: { base, theirs, mine, fields } });
      }
    }
    return theirs;
  }
  async function create(cliente) {
    // Two requests with one key create one record. It has to be new, not secret; not every engine has crypto.
    const again = [1, 2, 3, 4].map(() => Math.random().toString(36).slice(2)).join("");
    for (let pause = 1; ; pause *= 2) {
      try {
        return await json("POST", "/clientes", cliente, { "Idempotency-Key": again });
      } catch (error) {
        const wait = error.retryAfter ?? pause;
        if (!mayPass(error) || pause > 4 || wait > 10) throw error;
        await new Promise((done) => setTimeout(done, wait * 1000));
      }
    }
  }
  // Calls each(change, cursor) for every change after a cursor, one by one, until it returns false. What breaks off
  // goes on after the last change that each() was done with. A passive one does not use the session, and ends with
  // the token. It returns the last cursor.
  async function follow(cursor, each, { signal, passive = false } = {}) {
    let pagesUntil = "body" in Response.prototype ? 0 : Infinity; // React Native has no streams
    let whose; // the id of the user
    let pause = 0;
    let inEach = false;
    const give = async (change, next) => {
      signal?.throwIfAborted();
      if (!session) return passive ? false : refuse(over);
      if (whose !== user?.id) refuse(somebodyElse);
      inEach = true;
      const more = await each(change, next);
      inEach = false;
      cursor = next;
      return more !== false;
    };
    for (;;) {
      signal?.throwIfAborted();
      if (passive && (!session || endsSoon(session))) return cursor;
      const ended = new AbortController();
      const stop = () => ended.abort(signal.reason);
      signal?.addEventListener("abort", stop);
      const soon = (promise) => {
        const timer = setTimeout(() => ended.abort(lost("The server is silent.")), 40_000);
        return promise.finally(() => clearTimeout(timer));
      };
      let heard = false;
      const pages = Date.now() < pagesUntil;
      try {
        const query = queryString({ since: cursor, wait: cursor === undefined ? 0 : 25 });
        const headers = { Accept: pages ? "application/json" : EVENTS };
        const response = await soon(call("/clientes/changes" + query, { headers, signal: ended.signal }));
        if ((whose ??= user?.id) !== user?.id) refuse(somebodyElse);
        if (response.ok && !pages) {
          for await (const { id, event, data } of eventsOf(response, soon)) {
            [heard, pause] = [true, 0];
            if (event === "change" && !(await give(JSON.parse(data), id))) return cursor;
            if (id) cursor = id;
          }
        } else {
          const { changes, cursor: next } = await soon(read(response));
          pause = 0;
          for (const [i, change] of changes.entries()) {
            if (!(await give(change, i + 1 < changes.length ? cursor : next))) return cursor;
          }
          cursor = next;
          continue;
        }
      } catch (error) {
        signal?.throwIfAborted();
        const silent = ended.signal.aborted && !inEach;
        if (inEach || !(silent || mayPass(error) || error.status === 429 || error.status >= 500)) throw error;
        if (silent && !heard && !pages) pagesUntil = Date.now() + 3_600_000; // a proxy may hold streams back
        pause = Math.max(pause, error.retryAfter ?? 0);
      } finally {
        signal?.removeEventListener("abort", stop);
        ended.abort();
      }
      pause = Math.min(30, Math.max(0.25, 2 * pause));
      await rest((0.5 + Math.random() / 2) * pause * 1000, signal);
    }
  }
  const clientes = {
    page: (query, options) => page("/clientes", query, options),
    async *list(query) {
      for (let next = query; next !== null; ) {
        const got = await page("/clientes", next);
        yield* got.records;
        next = got.next ?? null;
      }
    },
    get: (id) => json("GET", one(id)),
    create,
    update,
    delete: (base) => json("DELETE", one(base.id), undefined, ifStill(base.version)),
    history: (id, query) => page(one(id) + "/history", query),
    restore(id, version) {
      const send = (headers) => json("POST", one(id) + "/restore", { version }, headers);
      return send().catch((error) => {
        if (error.code !== "precondition_required") throw error;
        return send({ "If-Match": "*" }); // whatever it has by now stays in the history
      });
    },
    async import(file, { columns, header, charset, type = "text/csv", dryRun, onProgress, signal } = {}) {
      const media = type + (charset ? `; charset=${charset}` : "") + (header ? `; header=${header}` : "");
      const query = queryString({ dry_run: dryRun || undefined, columns: columns?.join(",") });
      const options = { method: "POST", headers: { "Content-Type": media }, body: file, signal };
      return read(await call("/clientes/import" + query, options, onProgress ? sendWith(onProgress) : send));
    },
    async export(query, type = "text/csv", { signal } = {}) {
      const response = await call("/clientes/export" + queryString(query), { headers: { Accept: type }, signal });
      return response.ok ? response : read(response);
    },
  };
  // As send, but it tells how much has been sent, which fetch cannot.
  const sendWith = (onProgress) => async (path, options, token) => {
    if (!globalThis.XMLHttpRequest) {
      const all = new Blob([options.body]).size;
      onProgress(0, all);
      const response = await send(path, options, token);
      onProgress(all, all);
      return response;
    }
    const { method, headers, body, signal } = options;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const xhr = new XMLHttpRequest();
      xhr.open(method, server + path);
      for (const name in headers) xhr.setRequestHeader(name, headers[name]);
      xhr.setRequestHeader("x-access-token", token);
      xhr.upload.onprogress = (event) => onProgress(event.loaded, event.total);
      xhr.onload = () => {
        const wait = xhr.getResponseHeader("Retry-After");
        resolve(new Response(xhr.response, { status: xhr.status, headers: wait ? { "Retry-After": wait } : {} }));
      };
      xhr.onerror = () => reject(lost("The server cannot be reached."));
      xhr.onabort = () => reject(signal.reason);
      signal?.addEventListener("abort", () => xhr.abort());
      xhr.send(body);
    });
  };

  return {
    login, fetch: (path, options) => call(path, options), logout, json, refresh: use, clientes, follow,
    get session() {
      return session && !isKey ? { user, endsAt: session.endsAt } : undefined;
    },
  };
}

// Solves the puzzle of a 429: which number makes this digest? It takes some seconds at most. The page stays alive, and
// signal ends it. The result is sent as `captcha` with the next try.
export async function solve(challenge, { onPuzzle = () => {}, signal } = {}) {
  const [salt, digest, max] = challenge.split(".");
  const want = digest.match(/.{8}/g).map((word) => parseInt(word, 16) | 0);
  const sha256 = hasher();
  let rest = 0;
  for (let n = 0; n < max; n++) {
    if (n % 500 === 0 && performance.now() >= rest) {
      signal?.throwIfAborted();
      onPuzzle(n / max);
      await breath();
      rest = performance.now() + 15;
    }
    if (sha256(salt + n).every((word, i) => word === want[i])) {
      onPuzzle(1);
      return `${challenge}.${n}`;
    }
  }
  throw Object.assign(new Error("The puzzle has no solution."), { code: "captcha_required" });
}

// Lets the page do something else. A timer would be slow in a hidden tab.
const breath = () => new Promise((done) => {
  if (globalThis.setImmediate) return setImmediate(done); // Node
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => (port1.close(), done());
  port2.postMessage(null);
});

// SHA-256 (FIPS 180-4) of up to 55 ASCII characters, as eight words. crypto.subtle is for https alone, and slower for
// many short texts.
function hasher() {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => (x - Math.floor(x)) * 2 ** 32 | 0;
  const start = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const w = new Int32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  return (text) => {
    w.fill(0, 0, 16);
    for (let i = 0; i <= text.length; i++) {
      w[i >> 2] |= (i < text.length ? text.charCodeAt(i) : 0x80) << (24 - 8 * (i % 4));
    }
    w[15] = 8 * text.length;
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = start;
    for (let i = 0; i < 64; i++) {
      const t = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
      const u = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t) | 0, c, b, a, (t + u) | 0];
    }
    return [a, b, c, d, e, f, g, h].map((word, i) => (word + start[i]) | 0);
  };
}

const KEY = "clientes_refresh"; // in the storage, and the name of the lock
const DEVICE = "clientes_device"; // in the storage; a logout leaves it
const loggedOut = { message: "Log in first.", code: "logged_out" };
const somebodyElse = { message: "Somebody else has logged in.", code: "user_changed" };

// Tabs refresh one after the other where the browser has locks. Where not, tabs that send the same token at about the
// same time get the same answer.
const alone = (work) => (globalThis.navigator?.locks ? navigator.locks.request(KEY, work) : work());

// The channel between tabs. What a tab tells before it leaves the lock reaches the next holder within its wait().
function tabs(server, hear) {
  const channel = new BroadcastChannel(`${KEY} ${new URL(server || "/", location.href).origin}`);
  let heard = false; // whether there are others
  channel.onmessage = ({ data }) => {
    heard = true;
    hear(data.kind, data.session);
  };
  channel.unref?.(); // Node would wait for messages for ever
  const others = {
    asking: false,
    done() {},
    tell: (kind, session) => channel.postMessage({ kind, session }),
    wait: () => heard && new Promise((done) => setTimeout((others.done = done), 50)),
    async ask() {
      others.asking = heard = true;
      others.tell("ask");
      await others.wait();
      others.asking = false;
    },
  };
  others.tell("new");
  return others;
}
const nobody = { done() {}, tell() {}, wait() {}, ask() {} };

// The larger of two clocks: one may stand still while the machine sleeps, the other one may be set back.
const age = (session) => Math.max(performance.now() - session.received, Date.now() - session.since);
const endsSoon = (session) => age(session) > session.goodFor - Math.min(20_000, session.goodFor / 4);

// A text of a record as the server keeps it: null empties it.
const same = (a, b) => (a ?? "") === (b ?? "");

const lost = (message, more) => Object.assign(new TypeError(message, more), { code: "network" });
const mayPass = ({ code, status }) => code === "network" || code === "idempotency_in_progress" || status === 503;
const about = ({ status, headers }) => ({ status, retryAfter: Number(headers.get("Retry-After")) || undefined });

// The JSON of an answer. What a proxy says in the server's place is none.
async function parse(response) {
  const text = await response.text().catch((cause) => {
    throw cause.name === "AbortError" ? cause : lost("The answer broke off.", { cause });
  });
  let answer;
  try {
    answer = text ? JSON.parse(text) : undefined;
    if (response.ok || answer.code) return answer;
  } catch {} // it is told below
  const message = `The answer is not the server's, but perhaps a proxy's (status ${response.status}).`;
  throw Object.assign(lost(message), about(response));
}
async function read(response) {
  const answer = await parse(response);
  if (!response.ok) throw Object.assign(new Error(answer.message), answer, about(response));
  return answer;
}

const EVENTS = "text/event-stream";

// The server-sent events of an answer, as this server writes them.
async function* eventsOf(response, soon) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (let text = ""; ; ) {
      const { done, value } = await soon(reader.read()).catch((cause) => {
        throw lost("The stream broke off.", { cause });
      });
      if (done) return;
      const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        yield Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const rest = (ms, signal) => new Promise((done, fail) => {
  const stop = () => (clearTimeout(timer), fail(signal.reason));
  if (signal?.aborted) return fail(signal.reason);
  const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), done()), ms);
  signal?.addEventListener("abort", stop);
});

// What a 401 says.
const refusal = async (response) => (response.status === 401 && (await response.clone().json().catch(() => {}))) || {};

function queryString(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length ? "?" + given.map((pair) => pair.map(encodeURIComponent).join("=")).join("&") : "";
}

function memory() {
  const kept = new Map();
  return { getItem: (k) => kept.get(k), setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
}
