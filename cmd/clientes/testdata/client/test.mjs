// Runs client.js against a real server, through a proxy on which the cases can hold, lose and count what passes.
//
//   SERVER, SECRET, USER1, USER2, PASSWORD=... node test.mjs
//
// With CHROMIUM and PROFILE the client is in a page of that browser: see world.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after as afterAll, test } from "node:test";
import { handled, harness, inBrowser, open, there } from "./world.mjs";

const { SERVER, SECRET, USER1, USER2, PASSWORD } = process.env;
const KEY = "clientes_refresh";
const WORLD = inBrowser ? "Chromium" : "Node"; // in names, because the server is the same

// ---- the proxy

let given; // every access token that the server gave
let seen; // [{ path, token, body, status }] in the order of arrival
let expired; // says of an access token whether it is to arrive as expired
let before; // called with the request when it has arrived; may wait, or give an answer of its own
let locking; // called when a tab asks for the lock
let streams; // { res, answer } of the streams that were begun
let after; // called with the request when the server has answered; may wait; "lose" loses the answer

const proxy = http.createServer(async (req, res) => {
  // A browser sends a request once more if a connection that it has used before breaks.
  res.setHeader("Connection", "close");
  if (req.url === "/harness") return res.setHeader("Content-Type", "text/html").end(harness);
  if (req.url === "/favicon.ico") return res.writeHead(404).end();
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const token = req.headers["x-access-token"];
  const text = body.toString();
  const exchange = {
    method: req.method, path: req.url, headers: req.headers, token, cookie: req.headers.cookie,
    body: text.startsWith("{") ? JSON.parse(text) : text,
  };
  seen.push(exchange);
  const own = await before(exchange);
  if (own === "lose") return res.destroy();
  if (own) {
    exchange.status = own.status;
    return res.writeHead(own.status, { "content-type": own.type ?? "application/json", ...own.headers }).end(own.body);
  }
  const headers = { ...req.headers, "accept-encoding": "identity" };
  if (headers.origin) headers.origin = SERVER; // the page's own
  if (token && expired(token)) headers["x-access-token"] = aged(token);
  const [answer, content] = await new Promise((resolve, reject) => {
    const out = http.request(SERVER + req.url, { method: req.method, headers }, async (answer) => {
      if (answer.headers["content-type"] === "text/event-stream") {
        delete answer.headers.connection;
        res.writeHead(answer.statusCode, answer.headers);
        answer.on("error", () => {}).pipe(res);
        res.on("close", () => answer.destroy());
        return streams.push({ res, answer });
      }
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve([answer, Buffer.concat(chunks)]);
    });
    out.on("error", reject).end(body);
  });
  exchange.status = answer.statusCode;
  const isJSON = content.length && answer.headers["content-type"]?.startsWith("application/json");
  exchange.answer = isJSON ? JSON.parse(content) : undefined;
  if (exchange.answer?.token) given.push(exchange.answer.token);
  if ((await after(exchange)) === "lose") return res.destroy();
  delete answer.headers.connection;
  res.writeHead(answer.statusCode, answer.headers).end(content);
});

// aged gives the same access token as it is an hour later: the server finds a good signature and a past exp, and no
// test waits.
function aged(token) {
  const [header, payload] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  claims.iat -= 3600;
  claims.exp -= 3600;
  const text = header + "." + Buffer.from(JSON.stringify(claims)).toString("base64url");
  return text + "." + createHmac("sha256", SECRET).update(text).digest("base64url");
}

// expireAll makes every access token that was given so far expire now.
function expireAll() {
  const now = new Set(given);
  expired = (token) => now.has(token);
}

const count = (path) => seen.filter((x) => x.path === path).length;
const refreshes = () => seen.filter((x) => x.path === "/refresh");

// gate holds who waits at it until it has been opened.
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

let made = 0; // clients and storages there
const tabs = [];

// storage is what localStorage is to the tabs of one browser.
function storage({ slow = false } = {}) {
  const id = made++;
  there((id, slow) => {
    const kept = new Map();
    const wait = slow ? async () => { for (let i = 0; i < 9; i++) await new Promise((done) => setTimeout(done)); } : () => {};
    const late = (work) => (slow ? wait().then(work) : work());
    world.storages[id] = {
      getItem: (key) => late(() => kept.get(key) ?? null),
      setItem: (key, value) => late(() => void kept.set(key, String(value))),
      removeItem: (key) => late(() => void kept.delete(key)),
    };
  }, id, slow);
  const part = (name) => (...args) => there((id, name, args) => world.storages[id][name](...args), id, name, args);
  return { id, getItem: part("getItem"), setItem: part("setItem"), removeItem: part("removeItem") };
}

// tab gives a client there, the codes of its onEnd, and what its onSession was called with.
function tab({ storage, at = base, ...options } = {}) {
  const id = made++;
  const [ends, sessions, changes] = [[], [], []];
  tabs[id] = { ends, sessions, changes };
  there((id, base, options, storage) => {
    world.clients[id] = world.connect(base, {
      ...options, ...(storage !== undefined && { storage: world.storages[storage] }),
      onEnd: (code) => world.tell("ends", id, code), onSession: (session) => world.tell("sessions", id, session),
    });
  }, id, at, options, storage?.id);
  const part = (...names) => (...args) => there((id, names, args) => {
    const owner = names.slice(0, -1).reduce((of, name) => of[name], world.clients[id]);
    return owner[names.at(-1)](...args);
  }, id, names, args);
  return {
    id, ends, sessions, changes,
    // Follows the changes up to a record of the name `last`. Each arrives in changes as [name or action, cursor].
    follow: (since, last, options) => there((id, since, last, options) => {
      const each = async (change, cursor) => {
        world.tell("changes", id, [change.record?.name ?? change.action, cursor]);
        await new Promise((done) => setTimeout(done)); // it is waited for
        await world.held;
        if (change.record?.name === "fail " + last) throw Object.assign(new Error("of each"), { code: "network" });
        return change.record?.name !== last;
      };
      if (options?.abort) world.abort = new AbortController();
      return world.clients[id].follow(since ?? undefined, each, { ...options, signal: world.abort?.signal });
    }, id, since ?? null, last, options),
    create: (name) => part("clientes", "create")({ name }),
    login: part("login"), logout: part("logout"), json: part("json"), refresh: part("refresh"),
    session: () => there((id) => world.clients[id].session ?? null, id),
    clientes: Object.fromEntries(["page", "get", "create", "update", "delete", "history", "restore", "import"]
      .map((name) => [name, part("clientes", name)])),
    fetch: (path, options = {}) => handled(there(async (id, path, options) => {
      const response = await world.clients[id].fetch(path, options);
      return { status: response.status, headers: [...response.headers], body: await response.text() };
    }, id, path, { ...options, headers: [...new Headers(options.headers)] }).then(({ body, ...head }) => (
      new Response([204, 304].includes(head.status) ? null : body, head)
    ))),
  };
}
const ok = async (api) => assert.equal((await api.fetch("/clientes")).status, 200);
const rejects = (promise, code) => assert.rejects(promise, (error) => (assert.equal(error.code, code), true));

// scene is a case, on a proxy that does nothing yet.
function scene(name, run) {
  test(name, { timeout: 60_000 }, async () => {
    [seen, given, streams] = [[], [], []];
    expired = () => false;
    before = after = locking = () => {};
    await run();
  });
}

[seen, given, streams, expired] = [[], [], [], () => false];
before = after = () => {};
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const base = "http://127.0.0.1:" + proxy.address().port;
proxy.unref();
const opened = await open(base, (what, id, value) => (what === "locking" ? locking() : tabs[id][what].push(value)));
afterAll(() => {
  opened.close();
  setTimeout(() => process.exit(), 5000).unref(); // whatever a case that failed has left open
});

// ---- the cases

scene("a login and a call", async () => {
  const api = tab();
  assert.equal((await api.login(USER1, PASSWORD)).user, USER1);
  const response = await api.fetch("/clientes", {
    method: "POST", headers: new Headers({ "Content-Type": "application/json" }), body: '{"name":"Ana"}',
  });
  assert.equal(response.status, 201);
  assert.equal((await response.json()).name, "Ana");
  assert.deepEqual(seen.map((x) => x.path), ["/login", "/clientes"]);
});

scene("a wrong password rejects, and a session that there was goes on", async () => {
  const api = tab();
  await rejects(api.login(USER1, "wrong"), "invalid_login");
  await api.login(USER1, PASSWORD);
  await rejects(api.login(USER1, "wrong"), "invalid_login");
  await assert.rejects(api.login("", ""), (error) => error.code === "validation_failed" && error.errors.length === 2);
  await ok(api);
  assert.deepEqual(api.ends, []);
});

scene("twenty calls that find the token expired refresh once", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expireAll();
  const all = gate();
  let refused = 0;
  // The refresh is answered when every call has been refused but one, whose refusal comes when all is done.
  const last = gate();
  after = async (x) => {
    if (x.path === "/clientes" && x.status === 401) {
      refused++;
      if (refused === 20) await last.opened;
      if (refused === 19) all.open();
    }
    if (x.path === "/refresh") await all.opened;
  };
  const calls = Array.from({ length: 20 }, () => api.fetch("/clientes"));
  let done = 0;
  for (const call of calls) call.then(() => ++done === 19 && last.open());
  for (const response of await Promise.all(calls)) assert.equal(response.status, 200);
  assert.equal(refused, 20);
  assert.equal(count("/refresh"), 1);
  assert.equal(count("/clientes"), 40);
});

scene("a request is sent again as it was", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expireAll();
  const response = await api.fetch("/clientes", {
    method: "POST", headers: { "Content-Type": "application/json", "X-Request-Id": "again" }, body: '{"name":"Bea"}',
  });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("X-Request-Id"), "again");
  const [first, second] = seen.filter((x) => x.path === "/clientes");
  assert.deepEqual([first.status, second.status], [401, 201]);
  assert.deepEqual(first.body, second.body);
});

scene("a token that is refused after a refresh too is answered, not refreshed for ever", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expired = () => true;
  const response = await api.fetch("/clientes");
  assert.equal(response.status, 401);
  assert.equal((await response.json()).code, "token_expired");
  assert.equal(count("/refresh"), 1);
});

scene("a page that was reloaded goes on", async () => {
  const shared = storage();
  await tab({ storage: shared }).login(USER1, PASSWORD);
  const api = tab({ storage: shared });
  await Promise.all([ok(api), ok(api), ok(api)]);
  assert.equal(count("/refresh"), 1);
});

scene("storage may be asynchronous", async () => {
  const shared = storage({ slow: true });
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  expireAll();
  await ok(api);
  expireAll();
  await ok(api);
  assert.deepEqual(refreshes().map((x) => x.status), [200, 200]);
});

scene("two tabs without locks refresh at once, and both go on", async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await ok(b);
  for (let round = 1; round <= 3; round++) {
    seen = [];
    expireAll();
    const both = gate();
    before = async (x) => {
      if (x.path !== "/refresh") return;
      if (count("/refresh") === 2) both.open();
      await both.opened;
    };
    await Promise.all([ok(a), ok(b), ok(a), ok(b)]);
    const [one, two] = refreshes();
    assert.equal(refreshes().length, 2);
    assert.equal(one.body.refresh_token, two.body.refresh_token, "the same token at once");
    assert.equal(one.answer.refresh_token, two.answer.refresh_token, "the same successor");
    assert.equal(await shared.getItem(KEY), one.answer.refresh_token);
  }
  assert.deepEqual([...a.ends, ...b.ends], []);
});

// withLocks runs a case in a browser that has Web Locks.
async function withLocks(run) {
  await there(() => {
    let last = Promise.resolve();
    const request = (name, work) => {
      world.tell("locking");
      if (world.locks) return world.locks.request(name, work);
      return (last = last.catch(() => {}).then(() => work({ name })));
    };
    world.navigator({ locks: { request } });
  });
  try {
    await run();
  } finally {
    await there(() => void world.navigator({}));
  }
}

scene("two tabs with locks refresh one after the other", () => withLocks(async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await ok(b);
  seen = [];
  expireAll();
  // The first refresh is answered when both tabs have been refused.
  const refused = gate();
  let under = 0, most = 0, n = 0;
  before = (x) => {
    if (x.path === "/refresh") most = Math.max(most, ++under);
  };
  after = async (x) => {
    if (x.path === "/clientes" && x.status === 401 && ++n === 2) refused.open();
    if (x.path !== "/refresh") return;
    await refused.opened;
    under--;
  };
  await Promise.all([ok(a), ok(b)]);
  const [one, two] = refreshes();
  assert.equal(refreshes().length, 2);
  assert.equal(most, 1, "at the same time");
  assert.equal(two.body.refresh_token, one.answer.refresh_token, "the second tab takes what the first one got");
}));

scene("with locks a login waits for the refresh of another tab, which else would write over it", () => withLocks(async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  seen = [];
  expireAll();
  const asked = gate(), go = gate();
  after = async (x) => {
    if (x.path === "/refresh") asked.open(), await go.opened;
  };
  const call = ok(a);
  await asked.opened;
  locking = go.open; // the refresh is answered when the login has asked for the lock
  await Promise.all([call, b.login(USER1, PASSWORD)]);
  assert.deepEqual(seen.map((x) => x.path).filter((path) => path !== "/clientes"), ["/refresh", "/login"]);
  assert.equal(await shared.getItem(KEY), seen.find((x) => x.path === "/login").answer.refresh_token);
}));

scene("with locks a refresh that waited for a login of its tab is not needed any more", () => withLocks(async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expireAll();
  const asked = gate(), go = gate();
  before = async (x) => {
    if (x.path === "/login") asked.open(), await go.opened;
  };
  after = (x) => {
    if (x.path === "/clientes" && x.status === 401) go.open();
  };
  const login = api.login(USER1, PASSWORD);
  await asked.opened;
  await ok(api);
  await login;
  assert.equal(count("/refresh"), 0);
}));

scene("with locks a call whose token was replaced meanwhile waits for nobody", () => withLocks(async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await ok(b);
  expireAll();
  const sent = gate(), late = gate(), asked = gate(), go = gate();
  before = async (x) => {
    if (x.path === "/clientes?limit=1" && count(x.path) === 1) sent.open(), await late.opened;
  };
  const call = a.fetch("/clientes?limit=1");
  await sent.opened;
  await ok(a);
  after = async (x) => {
    if (x.path === "/refresh") asked.open(), await go.opened;
  };
  const other = ok(b);
  await asked.opened; // now b has the lock
  late.open();
  assert.equal((await call).status, 200);
  go.open();
  await other;
}));

scene("a lost answer of a refresh is given again", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  const first = await shared.getItem(KEY);
  expireAll();
  after = (x) => (x.path === "/refresh" && count("/refresh") === 1 ? "lose" : undefined);
  await Promise.all([ok(api), ok(api), ok(api)]);
  assert.deepEqual(refreshes().map((x) => x.body.refresh_token), [first, first]);
  assert.deepEqual(refreshes().map((x) => x.status), [200, 200]);
  assert.deepEqual(api.ends, []);
});

scene("a refresh that nobody answers is given up, and sent again", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expireAll();
  // The ten seconds are over when the first refresh has arrived.
  await there(() => {
    const plain = AbortSignal.timeout;
    const over = new AbortController();
    let first = true;
    world.spans = [];
    AbortSignal.timeout = (ms) => {
      world.spans.push(ms);
      if (!first) return plain.call(AbortSignal, ms);
      first = false;
      return over.signal;
    };
    world.abort = () => over.abort();
    world.restore = () => (AbortSignal.timeout = plain);
  });
  const end = gate();
  before = async (x) => {
    if (x.path === "/refresh" && count("/refresh") === 1) await there(() => world.abort()), await end.opened;
  };
  try {
    await ok(api);
    assert.deepEqual(await there(() => world.spans), [10_000, 10_000]);
  } finally {
    await there(() => void world.restore());
    end.open();
  }
  assert.equal(count("/refresh"), 2);
});

scene("a network that stays away fails the call and loses nothing", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  const first = await shared.getItem(KEY);
  expireAll();
  after = (x) => (x.path === "/refresh" ? "lose" : undefined);
  await assert.rejects(api.fetch("/clientes"), TypeError);
  assert.equal(count("/refresh"), 2);
  assert.equal(await shared.getItem(KEY), first);
  after = () => {};
  await ok(api);
  assert.deepEqual(api.ends, []);
});

scene("a server that can not refresh now fails the call and loses nothing", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  const first = await shared.getItem(KEY);
  expireAll();
  for (const [answer, code] of [
    [{ status: 503, body: '{"message":"The store does not answer.","code":"store_unavailable"}' }, "store_unavailable"],
    [{ status: 500, body: '{"message":"Oh.","code":"internal"}' }, "internal"],
    [{ status: 502, type: "text/html", body: "<h1>Bad Gateway</h1>" }, "network"],
    [{ status: 401, type: "text/html", body: "<h1>Who are you?</h1>" }, "network"],
  ]) {
    before = (x) => (x.path === "/refresh" ? answer : undefined);
    await rejects(api.fetch("/clientes"), code);
    assert.equal(await shared.getItem(KEY), first);
  }
  before = () => {};
  await ok(api);
  assert.deepEqual(api.ends, []);
});

scene("after a logout calls reject, and nothing is sent", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  const other = tab({ storage: shared });
  await ok(other);
  await api.logout();
  assert.equal(await shared.getItem(KEY), null);
  seen = [];
  await rejects(api.fetch("/clientes"), "logged_out");
  assert.deepEqual(seen, []);

  // The other tab is told by its next call, once, and does not try to refresh.
  const calls = Array.from({ length: 3 }, () => rejects(other.fetch("/clientes"), "token_revoked"));
  await Promise.all(calls);
  await rejects(other.fetch("/clientes"), "logged_out");
  assert.deepEqual(other.ends, ["token_revoked"]);
  assert.equal(count("/refresh"), 0);
  assert.equal(count("/clientes"), 3);

  await api.login(USER1, PASSWORD);
  await ok(api);
});

scene("a logout ends a session whose access token the page does not have yet", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  await tab({ storage: shared }).logout();
  await rejects(api.fetch("/clientes"), "token_revoked");
});

scene("a logout ends the session of the page and the one in the storage", async () => {
  const shared = storage();
  const [a, twin, b] = [tab({ storage: shared }), tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await ok(twin);
  await b.login(USER1, PASSWORD);
  await a.logout();
  await rejects(twin.fetch("/clientes"), "token_revoked");
  await rejects(b.fetch("/clientes"), "token_revoked");
});

scene("a logout that did not come through can be repeated", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  before = (x) => (x.path === "/logout" ? { status: 503, body: '{"message":"Away.","code":"store_unavailable"}' } : undefined);
  await rejects(api.logout(), "store_unavailable");
  before = (x) => (x.path === "/logout" ? "lose" : undefined);
  await assert.rejects(api.logout(), TypeError);
  before = () => {};
  await ok(api);
  await api.logout();
  await rejects(api.fetch("/clientes"), "logged_out");
});

scene("a logout while a refresh is under way is the end", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  expireAll();
  const asked = gate(), go = gate();
  after = async (x) => {
    if (x.path === "/refresh") asked.open(), await go.opened;
  };
  const call = api.fetch("/clientes");
  await asked.opened;
  await api.logout();
  go.open();
  await rejects(call, "logged_out");
  assert.equal(await shared.getItem(KEY), null);
  seen = [];
  await rejects(api.fetch("/clientes"), "logged_out");
  assert.deepEqual(seen, []);
});

scene("what the server refuses while a logout waits for its answer is the logout's doing", async () => {
  for (const old of [false, true]) {
    for (const lost of [false, true]) {
      const api = tab();
      await api.login(USER1, PASSWORD);
      if (old) expireAll();
      const done = gate(), go = gate();
      after = async (x) => {
        if (x.path !== "/logout") return;
        done.open();
        await go.opened;
        return lost ? "lose" : undefined;
      };
      seen = [];
      const logout = api.logout();
      await done.opened;
      const call = api.fetch("/clientes");
      await until(() => seen.find((x) => x.path === (old ? "/refresh" : "/clientes"))?.status === 401);
      await api.session(); // the page has had its turn
      assert.deepEqual(api.ends, []);
      go.open();
      const code = old ? "refresh_invalid" : "token_revoked";
      await (lost ? assert.rejects(logout, TypeError) : logout);
      await rejects(call, lost ? code : "logged_out");
      assert.deepEqual(api.ends, lost ? [code] : []);
    }
  }
});

scene("a refresh that the server answers well waits for no logout", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  expireAll();
  const asked = gate(), go = gate();
  before = async (x) => {
    if (x.path !== "/logout") return;
    asked.open();
    await go.opened;
    return "lose";
  };
  let settled = false;
  const logout = api.logout().finally(() => (settled = true));
  handled(logout);
  await asked.opened;
  await ok(api);
  assert.equal(settled, false);
  go.open();
  await assert.rejects(logout, TypeError);
  await ok(api);
  assert.deepEqual(api.ends, []);
});

scene("a logout while the new refresh token is being stored is the end", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  await there((id) => {
    const { setItem } = world.storages[id];
    world.storing = new Promise((storing) => {
      world.storages[id].setItem = async (...args) => {
        storing();
        await new Promise((done) => (world.store = done));
        setItem(...args);
      };
    });
  }, shared.id);
  const refresh = api.refresh();
  await there(() => world.storing);
  await api.logout();
  await there(() => world.store());
  await rejects(refresh, "logged_out");
  assert.equal(await api.session(), null);
  assert.equal(await shared.getItem(KEY), null);
  assert.deepEqual(api.ends, []);
});

scene("a login while a refresh is under way is what counts", async () => {
  for (const name of [USER1, USER2]) {
    const shared = storage();
    const api = tab({ storage: shared });
    await api.login(USER1, PASSWORD);
    expireAll();
    const asked = gate(), go = gate();
    after = async (x) => {
      if (x.path === "/refresh") asked.open(), await go.opened;
    };
    const call = api.fetch("/clientes");
    await asked.opened;
    await api.login(name, PASSWORD);
    const { answer } = seen.findLast((x) => x.path === "/login");
    go.open();
    // What one user has sent is not sent again as another's.
    if (name === USER1) assert.equal((await call).status, 200);
    else await rejects(call, "user_changed");
    assert.equal(await shared.getItem(KEY), answer.refresh_token);
    await ok(api);
    assert.equal(seen.at(-1).token, answer.token);
    assert.deepEqual(api.ends, []);
  }
});

scene("everywhere ends the sessions of every device", async () => {
  const [phone, laptop] = [tab(), tab()];
  await phone.login(USER1, PASSWORD);
  await laptop.login(USER1, PASSWORD);
  expireAll(); // it needs a token that is good, and gets one
  await laptop.logout({ everywhere: true });
  assert.equal(count("/refresh"), 1);
  expired = () => false;
  await rejects(phone.fetch("/clientes"), "token_revoked");
  await rejects(laptop.fetch("/clientes"), "logged_out");
  assert.deepEqual([phone.ends, laptop.ends], [["token_revoked"], []]);
});

scene("a refresh token that is refused is the end, told once", async () => {
  const shared = storage();
  const api = tab({ storage: shared });
  await api.login(USER1, PASSWORD);
  const token = await shared.getItem(KEY);
  await tab({ storage: shared }).logout();
  await shared.setItem(KEY, token);
  expireAll();
  const all = gate();
  let refused = 0;
  after = async (x) => {
    if (x.path === "/clientes" && ++refused === 5) all.open();
    if (x.path === "/refresh") await all.opened;
  };
  await Promise.all(Array.from({ length: 5 }, () => rejects(api.fetch("/clientes"), "refresh_invalid")));
  assert.deepEqual(api.ends, ["refresh_invalid"]);
  assert.equal(count("/refresh"), 1);
  assert.equal(await shared.getItem(KEY), null);
  await rejects(api.fetch("/clientes"), "logged_out");
});

scene("a page without a session is told to log in", async () => {
  const api = tab();
  await rejects(api.fetch("/clientes"), "refresh_invalid");
  assert.deepEqual(api.ends, ["refresh_invalid"]);
});

scene("a tab whose session ended goes on with the login of another tab", async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  const dead = await shared.getItem(KEY);
  await tab({ storage: shared }).logout();
  await shared.setItem(KEY, dead);
  expireAll();
  after = async (x) => {
    if (x.path === "/refresh" && x.body.refresh_token === dead) await b.login(USER1, PASSWORD);
  };
  await ok(a);
  assert.deepEqual(refreshes().map((x) => x.status), [401, 200]);
  assert.deepEqual(a.ends, []);
});

scene("the end of a tab's session is not the end of a newer one's", async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await ok(b);
  await a.logout();
  await a.login(USER1, PASSWORD);
  await rejects(b.fetch("/clientes"), "token_revoked");
  expireAll();
  await ok(a);

  // Nor within one tab: the refusal of a call that was sent before the login comes after it.
  seen = [];
  const sent = gate(), go = gate();
  before = async (x) => {
    if (x.path === "/clientes?limit=1") sent.open(), await go.opened;
  };
  const late = a.fetch("/clientes?limit=1");
  await sent.opened;
  await a.logout();
  await a.login(USER1, PASSWORD);
  go.open();
  await rejects(late, "token_revoked");
  await ok(a);
  assert.deepEqual(a.ends, []);
});

scene("a tab does not become somebody else", async () => {
  const shared = storage();
  const [a, b] = [tab({ storage: shared }), tab({ storage: shared })];
  await a.login(USER1, PASSWORD);
  await b.login(USER2, PASSWORD);
  expireAll();
  await rejects(a.fetch("/clientes"), "user_changed");
  assert.deepEqual(a.ends, ["user_changed"]);
  await ok(b);
  assert.deepEqual(b.ends, []);
});

scene("a token of another secret is the end, and no reason to refresh", async () => {
  const api = tab();
  before = (x) => {
    if (x.path !== "/login") return;
    const token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
    return { status: 200, body: JSON.stringify({ auth: true, token, user: { id: 1 } }) };
  };
  await api.login(USER1, PASSWORD);
  await rejects(api.fetch("/clientes"), "token_invalid");
  await rejects(api.fetch("/clientes"), "logged_out");
  assert.deepEqual(api.ends, ["token_invalid"]);
  assert.equal(count("/refresh"), 0);
});

scene("other refusals are the caller's", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  assert.equal((await api.fetch("/nowhere")).status, 404);
  assert.equal((await api.fetch("/users/1/sessions", { method: "DELETE" })).status, 403);
  assert.equal((await api.fetch("/login", { method: "POST", body: "user=ana&password=wrong",
    headers: { "Content-Type": "application/x-www-form-urlencoded" } })).status, 401);
  before = (x) => (x.path === "/clientes" ? { status: 401, type: "text/html", body: "<h1>Proxy</h1>" } : undefined);
  assert.equal(await (await api.fetch("/clientes")).text(), "<h1>Proxy</h1>");
  assert.equal(count("/refresh"), 0);
  assert.deepEqual(api.ends, []);
});

scene("a second factor", async () => {
  const api = tab();
  before = (x) => {
    if (x.path !== "/login" || x.body.code === "123456") return;
    return { status: 401, body: JSON.stringify({ auth: false, message: "A code, please.", code: "mfa_required" }) };
  };
  await rejects(api.login(USER1, PASSWORD), "mfa_required");
  await api.login(USER1, PASSWORD, "123456");
  await ok(api);
  assert.deepEqual(api.ends, []);
});

// withCookies runs a case in a browser without cookies. In Node, this is a browser's part: the cookies of one browser,
// for requests with credentials, and the page's origin.
async function withCookies(run) {
  if (inBrowser) {
    before = (x) => (x.path === "/empty" ? { status: 200, body: "{}", headers: { "Clear-Site-Data": '"cookies"' } } : undefined);
    await there(async () => void (await fetch("/empty")));
    before = () => {};
    seen = [];
    return run();
  }
  const jar = new Map();
  const plain = globalThis.fetch;
  globalThis.fetch = async (url, options) => {
    const headers = new Headers(options.headers);
    headers.set("origin", SERVER);
    const include = options.credentials === "include";
    if (include && jar.size) headers.set("cookie", [...jar].map(([name, value]) => name + "=" + value).join("; "));
    const response = await plain(url.startsWith("/") ? base + url : url, { ...options, headers });
    for (const cookie of include ? response.headers.getSetCookie() : []) {
      const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
      if (/Max-Age=0/i.test(cookie)) jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  };
  try {
    await run();
  } finally {
    globalThis.fetch = plain;
  }
}

// cookies gives the names of the cookies that the browser sends.
async function cookies() {
  await there(async () => void (await fetch("/healthz", { credentials: "include" })));
  return (seen.pop().cookie ?? "").split("; ").filter(Boolean).map((x) => x.split("=")[0]);
}

scene("in cookie mode the page never has the refresh token", () => withCookies(async () => {
  const shared = storage();
  const [a, b] = [tab({ cookie: true, storage: shared }), tab({ cookie: true })];
  await a.login(USER1, PASSWORD);
  assert.equal(await shared.getItem(KEY), null);
  assert.equal(seen[0].answer.refresh_token, undefined);
  assert.equal(seen[0].answer.device, undefined);
  assert.deepEqual(await cookies(), ["clientes_refresh", "clientes_device"]);
  await ok(a);
  await ok(b);
  assert.equal(count("/refresh"), 1, "the other tab has the cookie");
  // A browser sends them to its own origin.
  if (!inBrowser) assert.ok(seen.filter((x) => x.path === "/clientes").every((x) => x.cookie === undefined));

  seen = [];
  expireAll();
  const both = gate();
  before = async (x) => {
    if (x.path === "/refresh" && count("/refresh") === 2) both.open();
    if (x.path === "/refresh") await both.opened;
  };
  await Promise.all([ok(a), ok(b)]);
  before = () => {};
  assert.equal(new Set(refreshes().map((x) => x.cookie)).size, 1);

  seen = [];
  expireAll();
  after = (x) => (x.path === "/refresh" && count("/refresh") === 1 ? "lose" : undefined);
  await ok(a);
  after = () => {};
  assert.equal(count("/refresh"), 2);

  await a.logout();
  // The answer asks a browser to forget all cookies; this machine counts as a safe place.
  assert.deepEqual(await cookies(), inBrowser ? [] : ["clientes_device"]);
  seen = [];
  await rejects(a.fetch("/clientes"), "logged_out");
  assert.deepEqual(seen, []);
  expired = () => false;
  await rejects(b.fetch("/clientes"), "token_revoked");
}));

// ---- a refresh ahead of the end

// later lets time pass on a clock of the client, in seconds.
const later = (clock, seconds) => there((clock, ms) => void (world.clock[clock] += ms), clock, seconds * 1000);

scene("a token that ends soon is replaced before the call, by either clock", async () => {
  const api = tab();
  for (const clock of ["wall", "monotonic"]) {
    await api.login(USER1, PASSWORD);
    seen = [];
    await later(clock, 275);
    await ok(api);
    assert.equal(count("/refresh"), 0, "there are 25 seconds left");
    await later(clock, 10);
    await Promise.all([ok(api), ok(api), ok(api)]);
    assert.deepEqual(seen.map((x) => x.path), ["/clientes", "/refresh", "/clientes", "/clientes", "/clientes"]);
    assert.ok(seen.every((x) => x.status === 200));
    await ok(api);
    assert.equal(count("/refresh"), 1);
  }
});

scene("nothing is refreshed while nobody calls", async () => {
  const timers = () => there(() => {
    const plain = globalThis.setTimeout;
    world.timers = [];
    globalThis.setTimeout = (work, ms) => (world.timers.push(ms), plain(work, ms));
    globalThis.setInterval = (work, ms) => void world.timers.push(ms);
    world.restore = () => (globalThis.setTimeout = plain);
  });
  const api = tab();
  await timers();
  try {
    await api.login(USER1, PASSWORD);
    await ok(api);
    await later("wall", 285);
    await ok(api);
    assert.deepEqual(await there(() => world.timers), []);
  } finally {
    await there(() => void world.restore());
  }
});

scene("a token that is good is used while the server cannot refresh", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  before = (x) => (x.path === "/refresh" ? { status: 503, body: '{"message":"Away.","code":"store_unavailable"}' } : undefined);
  await later("wall", 285);
  await ok(api);
  assert.equal(count("/refresh"), 1);
  await later("wall", 20);
  await rejects(api.fetch("/clientes"), "store_unavailable");
  before = () => {};
  await ok(api);
  assert.deepEqual(api.ends, []);
});

scene("a token of less than a minute is not replaced before each call", async () => {
  const api = tab();
  before = async (x) => {
    if (x.path !== "/login") return;
    const response = await fetch(SERVER + x.path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(x.body),
    });
    return { status: 200, body: JSON.stringify({ ...(await response.json()), expires_in: 40 }) };
  };
  await api.login(USER1, PASSWORD);
  await ok(api);
  await later("wall", 22); // before the last quarter
  await ok(api);
  assert.equal(count("/refresh"), 0);
  await later("wall", 9);
  await ok(api);
  assert.equal(count("/refresh"), 1);
});

scene("refresh uses the session now, and tells when it ends", async () => {
  const api = tab();
  const { user } = await (async () => ({ user: await api.login(USER1, PASSWORD) }))();
  await later("wall", 60);
  const { endsAt, ...rest } = await api.refresh();
  assert.deepEqual(rest, { user });
  assert.equal(count("/refresh"), 1);
  assert.equal(api.sessions.length, 2);
  assert.deepEqual(api.sessions[1], { user, endsAt });
  assert.deepEqual(await api.session(), { user, endsAt });
  const longer = endsAt - api.sessions[0].endsAt;
  assert.ok(longer >= 60_000, `it ends ${longer} ms later`);
  await api.logout();
  assert.equal(await api.session(), null);
  await rejects(api.refresh(), "logged_out");
});

// ---- errors

const answers = (path, answer) => (before = (x) => (x.path === path ? answer : undefined));

scene("a refusal has all that the server says", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  await assert.rejects(api.json("POST", "/clientes", { name: "", email: "x" }), (error) => {
    assert.deepEqual([error.status, error.code, error.errors.map((x) => x.field)], [422, "validation_failed", ["name", "email"]]);
    assert.match(error.message, /./);
    assert.match(error.request_id, /./);
    return true;
  });
  await assert.rejects(api.clientes.get(999_999), (error) => error.status === 404 && error.code === "not_found");
  answers("/clientes", { status: 503, body: '{"message":"Busy.","code":"overloaded"}', headers: { "Retry-After": "3" } });
  await assert.rejects(api.json("GET", "/clientes"), (error) => error.code === "overloaded" && error.retryAfter === 3);
  await assert.rejects(api.login("", ""), (error) => error.status === 422);
  before = () => {};
  assert.equal(await api.json("GET", "/clientes?limit=1").then((list) => list.length), 1);
  const { id, version } = await api.json("POST", "/clientes", { name: "Once" });
  assert.equal((await api.json("DELETE", `/clientes/${id}`, undefined, { "If-Match": `"${version}"` })) ?? null, null);
});

scene("what is no answer of the server is told as a fault of the network", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const html = { type: "text/html", body: "<h1>Bad Gateway</h1>" };
  for (const answer of [
    { ...html, status: 502 }, { ...html, status: 404 }, { ...html, status: 200 }, { status: 502, body: "null" },
    { status: 502, body: '"no"' }, { status: 401, body: "null" },
  ]) {
    answers("/clientes", answer);
    await assert.rejects(api.json("GET", "/clientes"), (error) => {
      assert.deepEqual([error.code, error.status], ["network", answer.status]);
      assert.match(error.message, /not the server's/);
      return true;
    });
  }
  answers("/clientes", "lose");
  await assert.rejects(api.json("GET", "/clientes"), (error) => error.code === "network" && error instanceof TypeError);
  await rejects(api.fetch("/clientes"), "network");
  await rejects(api.clientes.page(), "network");
  answers("/login", { ...html, status: 502 });
  await rejects(api.login(USER1, PASSWORD), "network");
  assert.deepEqual(api.ends, []);
});

scene("a caller's own signal ends a call with its own reason", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const end = gate();
  before = async (x) => {
    if (x.path === "/clientes") await there(() => world.stop.abort()), await end.opened;
  };
  const name = await there(async (id) => {
    world.stop = new AbortController();
    return world.clients[id].fetch("/clientes", { signal: world.stop.signal }).catch((error) => error.name + error.code);
  }, api.id);
  assert.equal(name, "AbortError20");
  end.open();
});

// ---- customers

// editor gives a client that is logged in.
async function editor() {
  const api = tab();
  await api.login(USER1, PASSWORD);
  seen = [];
  return api;
}
const patches = () => seen.filter((x) => x.method === "PATCH");

scene("lists are read page by page", async () => {
  const api = await editor();
  const [A, B, C] = ["A", "B", "C"].map((name) => `Page ${WORLD} ${name}`);
  for (const name of [A, B, C]) await api.clientes.create({ name });
  seen = [];
  const first = await api.clientes.page({ q: "page " + WORLD, limit: 2, count: "exact", sort: "name", email: undefined });
  assert.deepEqual(first.records.map((x) => x.name), [A, B]);
  assert.equal(first.total, 3);
  const second = await api.clientes.page(first.next);
  assert.deepEqual(second.records.map((x) => x.name), [C]);
  assert.equal(second.next ?? null, null);
  seen = [];
  const names = (most) => there(async (id, q, most) => {
    const names = [];
    for await (const cliente of world.clients[id].clientes.list({ q, limit: 2, sort: "name" })) {
      names.push(cliente.name);
      if (names.length === most) break;
    }
    return names;
  }, api.id, "page " + WORLD, most);
  assert.deepEqual(await names(), [A, B, C]);
  assert.equal(seen.length, 2);
  seen = [];
  assert.deepEqual(await names(2), [A, B]);
  assert.equal(seen.length, 1, "a page that nobody reads is not asked for");
  assert.ok((await there(async (id) => {
    let n = 0;
    for await (const cliente of world.clients[id].clientes.list()) n += cliente.id > 0;
    return n;
  }, api.id)) >= 3);
});

scene("an update sends the changed fields alone, under the version that was read", async () => {
  const api = await editor();
  const base = await api.clientes.create({ name: "Ana", phone: "1" });
  const saved = await api.clientes.update(base, { ...base, phone: "2", email: null });
  assert.equal(saved.phone, "2");
  assert.equal(saved.version, 2);
  assert.deepEqual(patches().map((x) => [x.body, x.headers["if-match"]]), [[{ phone: "2" }, '"1"']]);
  assert.deepEqual(await api.clientes.update(saved, { phone: "2", name: "Ana" }), saved);
  assert.equal(patches().length, 1, "nothing was changed, and nothing sent");
});

scene("changes of two people to different fields go together, as often as it takes", async () => {
  const [api, other] = [await editor(), await editor()];
  const base = await api.clientes.create({ name: "Ana", phone: "1", company: "X", notes: "n" });
  let theirs = await other.clientes.update(base, { phone: "2" });
  after = async (x) => { // and once more after it was read
    if (x.method === "GET" && theirs.version === 2) theirs = await other.clientes.update(theirs, { notes: "m" });
  };
  seen = [];
  const saved = await api.clientes.update(base, { name: "Ana Souza", company: "Y" });
  const { name, phone, company, notes, version } = saved;
  assert.deepEqual({ name, phone, company, notes, version }, { name: "Ana Souza", phone: "2", company: "Y", notes: "m", version: 4 });
  const mine = patches().filter((x) => x.body.name);
  assert.deepEqual(mine.map((x) => [x.headers["if-match"], x.status]), [['"1"', 412], ['"2"', 412], ['"3"', 200]]);
});

scene("what both changed to the same is no conflict", async () => {
  const [api, other] = [await editor(), await editor()];
  const base = await api.clientes.create({ name: "Ana", phone: "1" });
  const theirs = await other.clientes.update(base, { phone: "2" });
  assert.deepEqual(await api.clientes.update(base, { phone: "2" }), theirs);
  const saved = await api.clientes.update(base, { phone: "2", name: "Bea" });
  assert.deepEqual([saved.phone, saved.name, saved.version], ["2", "Bea", 3]);
  assert.deepEqual(patches().at(-1).body, { name: "Bea" });

  // The answer of an update was lost, and the user saves again.
  after = (x) => (x.method === "PATCH" ? "lose" : undefined);
  await rejects(api.clientes.update(saved, { name: "Cid" }), "network");
  after = () => {};
  assert.equal((await api.clientes.update(saved, { name: "Cid" })).version, 4);
});

scene("what both changed to something else is a conflict, and nothing is written", async () => {
  const [api, other] = [await editor(), await editor()];
  const base = await api.clientes.create({ name: "Ana", phone: "1", notes: "n" });
  const theirs = await other.clientes.update(base, { phone: "2", name: "Bea" });
  const error = await api.clientes.update(base, { phone: "3", name: "Bea", notes: "mine" }).catch((error) => error);
  assert.equal(error.code, "conflict_fields");
  assert.deepEqual(error.conflict, { base, theirs, mine: { phone: "3", notes: "mine" }, fields: ["phone"] });
  assert.deepEqual(await api.clientes.get(base.id), theirs);
  const chosen = await api.clientes.update(theirs, { ...error.conflict.mine, phone: "2" });
  assert.deepEqual([chosen.phone, chosen.notes, chosen.version], ["2", "mine", 3]);
});

scene("an update of a record that is gone, and one that never comes through", async () => {
  const api = await editor();
  const base = await api.clientes.create({ name: "Ana" });
  before = (x) => (x.method === "PATCH" ? { status: 412, body: '{"message":"No.","code":"version_mismatch"}' } : undefined);
  await assert.rejects(api.clientes.update(base, { name: "Bea" }), (error) => error.code === "version_mismatch" && error.status === 412);
  assert.equal(patches().length, 10);
  before = () => {};
  await rejects(api.clientes.delete({ id: base.id, version: 7 }), "version_mismatch");
  await api.clientes.delete(base);
  await rejects(api.clientes.update(base, { name: "Bea" }), "not_found");
  await rejects(api.clientes.delete(base), "not_found");
  const { records, next } = await api.clientes.history(base.id, { limit: 1 });
  assert.deepEqual(records.map((x) => x.action), ["deleted"]);
  assert.deepEqual((await api.clientes.history(base.id, next)).records.map((x) => x.action), ["created"]);
  before = (x) => (x.path.endsWith("/restore") ? { status: 200, body: JSON.stringify(base) } : undefined);
  assert.deepEqual(await api.clientes.restore(base.id, 1), base);
  assert.deepEqual([seen.at(-1).method, seen.at(-1).path, seen.at(-1).body], ["POST", `/clientes/${base.id}/restore`, { version: 1 }]);

  // REQUIRE_IF_MATCH=true wants a version of a customer that was not deleted.
  const required = { status: 428, body: '{"message":"Say which.","code":"precondition_required"}' };
  before = (x) => (x.headers["if-match"] === "*" ? { status: 200, body: JSON.stringify(base) } : required);
  assert.deepEqual(await api.clientes.restore(base.id, 1), base);
});

// quickly runs a case whose waits are over at once there, and returns how long they were.
async function quickly(run) {
  await there(() => {
    const plain = globalThis.setTimeout;
    world.waits = [];
    globalThis.setTimeout = (work, ms) => (world.waits.push(ms), plain(work, 0));
    world.restore = () => (globalThis.setTimeout = plain);
  });
  try {
    await run();
    return await there(() => world.waits);
  } finally {
    await there(() => void world.restore());
  }
}

scene("a create whose answer is lost creates one record", async () => {
  const api = await editor();
  const busy = { status: 503, body: '{"message":"Busy.","code":"overloaded"}', headers: { "Retry-After": "2" } };
  before = () => (count("/clientes") === 2 ? busy : undefined);
  after = () => (count("/clientes") === 1 ? "lose" : undefined);
  let cliente;
  const waits = await quickly(async () => (cliente = await api.clientes.create({ name: "Only " + WORLD })));
  assert.deepEqual(waits, [1000, 2000]);
  assert.deepEqual(seen.map((x) => x.status), [201, 503, 201]);
  assert.equal(new Set(seen.map((x) => x.headers["idempotency-key"])).size, 1);
  assert.deepEqual((await api.clientes.page({ q: "only " + WORLD })).records, [cliente]);

  // Another create has a key of its own, and patience has an end.
  seen = [];
  before = (x) => (x.path === "/clientes" ? busy : undefined);
  assert.deepEqual(await quickly(() => rejects(api.clientes.create({ name: "Nobody" }), "overloaded")), [2000, 2000, 2000]);
  assert.equal(count("/clientes"), 4);
  busy.headers["Retry-After"] = "60";
  assert.deepEqual(await quickly(() => rejects(api.clientes.create({ name: "Nobody" }), "overloaded")), []);
  before = () => {};
  assert.deepEqual(await quickly(() => rejects(api.clientes.create({ name: "" }), "validation_failed")), []);
  const keys = seen.map((x) => x.headers["idempotency-key"]).filter(Boolean);
  assert.equal(new Set(keys).size, 3);
});

// imports imports a file there, and returns the answer and the progress.
const imports = (api, text, options = {}) => there(async (id, text, options) => {
  const steps = [];
  const onProgress = (sent, all) => steps.push([sent, all]);
  const answer = await world.clients[id].clientes.import(new Blob([text]), { ...options, onProgress });
  return { answer, steps };
}, api.id, text, options);

scene("an import tells its progress, and its faults", async () => {
  const api = await editor();
  const text = "name,phone\n" + "Import,1\n".repeat(1000);
  const { answer, steps } = await imports(api, text, { dryRun: true });
  assert.deepEqual(answer, { valid: 1000 });
  assert.equal(seen[0].path, "/clientes/import?dry_run=true");
  assert.deepEqual(steps.at(-1), [text.length, text.length]);
  assert.ok(steps.every(([sent, all]) => sent <= all && all === text.length));
  await assert.rejects(imports(api, "name,email\nIvo,ivo@example.com\n,jo\n"), (error) => {
    assert.deepEqual([error.status, error.code, error.error_count], [422, "validation_failed", 2]);
    assert.deepEqual(error.errors.map((x) => [x.row, x.field]), [[2, "name"], [2, "email"]]);
    return true;
  });
  assert.deepEqual((await imports(api, "Z\u00e9,,9\n", { columns: ["name", "", "phone"], header: "absent", charset: "utf-8" })).answer, { imported: 1 });
  assert.equal(seen.at(-1).headers["content-type"], "text/csv; charset=utf-8; header=absent");
  const ndjson = await api.clientes.import('{"name":"Line"}\n', { type: "application/x-ndjson" });
  assert.deepEqual(ndjson, { imported: 1 });
});

scene("an import renews its token, and is sent again if it has expired all the same", async () => {
  const api = await editor();
  await later("wall", 285);
  assert.deepEqual((await imports(api, "name\nRenewed\n")).answer, { imported: 1 });
  assert.deepEqual(seen.map((x) => x.path), ["/refresh", "/clientes/import"]);
  expireAll();
  seen = [];
  const { answer, steps } = await imports(api, "name\nAgain " + WORLD + "\n");
  assert.deepEqual(answer, { imported: 1 });
  assert.deepEqual(seen.map((x) => [x.path, x.status]), [["/clientes/import", 401], ["/refresh", 200], ["/clientes/import", 200]]);
  assert.deepEqual(steps.at(-1), [12 + WORLD.length, 12 + WORLD.length]);
  assert.deepEqual((await api.clientes.page({ q: "again " + WORLD })).records.length, 1);

  answers("/clientes/import", { status: 503, body: '{"message":"Busy.","code":"overloaded"}', headers: { "Retry-After": "2" } });
  await assert.rejects(imports(api, "name\nBusy\n"), (error) => error.code === "overloaded" && error.retryAfter === 2);
  answers("/clientes/import", "lose");
  await assert.rejects(imports(api, "name\nLost\n"), (error) => error.code === "network" && error instanceof TypeError);
});

scene("an import can be given up", async () => {
  const api = await editor();
  const end = gate();
  before = async () => {
    await there(() => world.stop.abort());
    await end.opened;
    return "lose";
  };
  const name = await there(async (id) => {
    world.stop = new AbortController();
    const options = { onProgress() {}, signal: world.stop.signal };
    return world.clients[id].clientes.import("name\nNo\n", options).catch((error) => error.name);
  }, api.id);
  assert.equal(name, "AbortError");
  end.open();
});

scene("an export is the server's answer", async () => {
  const api = await editor();
  await api.clientes.create({ name: "Exported " + WORLD });
  const read = (query, type) => there(async (id, query, type) => {
    const response = await world.clients[id].clientes.export(query, type ?? undefined);
    return [response.headers.get("Content-Type"), await response.text()];
  }, api.id, query, type);
  const [csv, text] = await read({ q: "exported " + WORLD });
  assert.match(csv, /^text\/csv/);
  assert.match(text, /^id,name,.*\r?\n\d+,Exported /);
  const [type, lines] = await read({ q: "exported " + WORLD }, "application/x-ndjson");
  assert.match(type, /ndjson/);
  assert.equal(JSON.parse(lines).name, "Exported " + WORLD);
  await assert.rejects(read({ sort: "nothing" }), (error) => error.status === 400 && error.code === "invalid_parameter");
});

// ---- puzzles

// challenge makes a puzzle as the server's.
function challenge(number, max, salt = "0123456789abcdef0123456789abcdef") {
  const digest = createHash("sha256").update(salt + number).digest("hex");
  return `${salt}.${digest}.${max}.1999999999.mac`;
}
const solves = (challenge) => there(async (challenge) => {
  const steps = [];
  let alive = 0; // how often something else runs meanwhile; a timer would be too rare in a hidden page
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => (alive++, port2.postMessage(null));
  port2.postMessage(null);
  const solution = await world.solve(challenge, { onPuzzle: (done) => steps.push(done) });
  port1.close();
  return { solution, steps, alive };
}, challenge);

scene("puzzles are solved while the page lives", async () => {
  for (const number of [0, 1, 499, 500, 9_999]) {
    const text = challenge(number, 10_000);
    assert.equal((await solves(text)).solution, `${text}.${number}`);
  }
  const text = challenge(199_999, 200_000);
  const { solution, steps, alive } = await solves(text);
  assert.equal(solution, text + ".199999");
  assert.equal(steps[0], 0);
  assert.equal(steps.at(-1), 1);
  assert.ok(steps.every((step, i) => i === 0 || step >= steps[i - 1]));
  assert.ok(steps.length > 3, "it rests");
  assert.ok(alive > 0, "something else runs in between");
  await rejects(there((text) => world.solve(text), challenge(10, 10)), "captcha_required");
  const name = await there((text) => {
    const stop = new AbortController();
    return world.solve(text, { signal: stop.signal, onPuzzle: () => stop.abort() }).catch((error) => error.name);
  }, text);
  assert.equal(name, "AbortError");
});

// signIn logs in with options there, and returns the code of the refusal, and how far a puzzle came.
const signIn = (api, name, password, options = {}) => there(async (id, name, password, options) => {
  let done = null;
  const onPuzzle = (part) => (done = part);
  const code = await world.clients[id].login(name, password, { ...options, onPuzzle }).then((x) => x.user, (error) => error.code);
  return { code, done };
}, api.id, name, password, options);

scene("a login that has to wait solves a puzzle instead, if it may", async () => {
  const api = tab();
  const name = "stranger-" + WORLD;
  for (let i = 0; i < 5; i++) assert.deepEqual(await signIn(api, name, "guess"), { code: "invalid_login", done: null });
  // On a slow machine the wait may be over before the next guess. Each wait is twice as long as the one before.
  const guesses = async (guess, waits) => {
    for (;;) {
      seen = [];
      const got = await guess();
      if (waits(got)) return got;
      assert.deepEqual(seen.map((x) => x.status), [401]);
    }
  };
  const solved = await guesses(() => signIn(api, name, "guess"), ({ done }) => done !== null);
  assert.deepEqual(solved, { code: "invalid_login", done: 1 });
  assert.deepEqual(seen.map((x) => x.status), [429, 401]);
  const [first, second] = seen;
  assert.ok(second.body.captcha.startsWith(first.answer.challenge + "."));
  const failed = () => api.login(name, "guess").catch((error) => error);
  const error = await guesses(failed, ({ code }) => code !== "invalid_login");
  assert.deepEqual([error.code, error.status], ["too_many_attempts", 429]);
  assert.ok(error.challenge && error.retryAfter > 0);

  // Without a challenge it rejects, and a server that never takes a solution does not keep it busy for ever.
  answers("/login", { status: 429, body: '{"message":"Wait.","code":"too_many_attempts"}', headers: { "Retry-After": "8" } });
  assert.deepEqual(await signIn(api, name, "guess"), { code: "too_many_attempts", done: null });
  const never = { message: "Again.", code: "too_many_attempts", challenge: challenge(3, 10) };
  answers("/login", { status: 429, body: JSON.stringify(never) });
  seen = [];
  assert.deepEqual(await signIn(api, name, "guess"), { code: "too_many_attempts", done: 1 });
  assert.equal(count("/login"), 4);
});

scene("a solution that the server has not used up is sent once more", async () => {
  const api = tab();
  const puzzle = challenge(3, 10);
  const refuse = (status, code, more) => ({ status, body: JSON.stringify({ message: "No.", code, ...more }) });
  before = (x) => {
    if (x.path !== "/login") return;
    if (!x.body.captcha) return refuse(429, "too_many_attempts", { challenge: puzzle });
    return x.body.code ? undefined : refuse(401, "mfa_required");
  };
  assert.deepEqual(await signIn(api, USER1, PASSWORD), { code: "mfa_required", done: 1 });
  assert.deepEqual(await signIn(api, USER1, PASSWORD, { code: "1" }), { code: USER1, done: null });
  assert.equal(seen.at(-1).body.captcha, puzzle + ".3");
  before = () => {};
  await signIn(api, USER1, PASSWORD);
  assert.equal(seen.at(-1).body.captcha, undefined, "it is used up");
  before = (x) => (x.path === "/login" ? refuse(401, "mfa_required") : undefined);
  await signIn(api, USER1, PASSWORD);
  assert.equal(seen.at(-1).body.captcha, undefined);
});

scene("a login may be remembered", async () => {
  const api = tab();
  assert.deepEqual(await signIn(api, USER1, PASSWORD, { remember: true }), { code: USER1, done: null });
  assert.equal(seen[0].body.remember, true);
  await api.login(USER1, PASSWORD);
  assert.equal(seen[1].body.remember, undefined);
});

// ---- tabs in cookie mode

// withTabs runs a case in a browser whose tabs hear each other, and have locks. No timer ends before what they told
// has arrived, however slow the machine is.
const withTabs = (run) => withLocks(() => withCookies(async () => {
  await there((base) => {
    globalThis.BroadcastChannel = world.BroadcastChannel;
    const plain = (world.setTimeout = globalThis.setTimeout);
    globalThis.setTimeout = (work, ms, ...args) => plain(function due() {
      if (world.underway > 0) plain(due, 1);
      else work(...args);
    }, ms);
    if (!globalThis.document) globalThis.location = new URL(base); // Node is no browser
  }, base);
  try {
    await run();
  } finally {
    await there(() => {
      globalThis.BroadcastChannel = undefined;
      globalThis.setTimeout = world.setTimeout;
      if (!globalThis.document) delete globalThis.location;
      for (const channel of world.channels.splice(0)) channel.close();
      world.underway = 0;
    });
  }
}));
const cookieTab = () => tab({ cookie: true });
async function until(condition) {
  while (!(await condition())) await new Promise((done) => setTimeout(done, 5));
}

scene("tabs have one token and one refresh, and a new tab asks the others", () => withTabs(async () => {
  const [a, b] = [cookieTab(), cookieTab()];
  const user = await a.login(USER1, PASSWORD);
  await until(() => b.session());
  assert.deepEqual(await b.session(), { ...(await a.session()), user });
  const c = cookieTab();
  await Promise.all([ok(a), ok(b), ok(c)]);
  assert.equal(count("/refresh"), 0);
  assert.deepEqual(await c.session(), await a.session());
  assert.equal(new Set(seen.filter((x) => x.path === "/clientes").map((x) => x.token)).size, 1);

  for (const round of [1, 2, 3]) {
    seen = [];
    expireAll();
    await Promise.all([a, b, c, a, b, c].map(ok));
    assert.equal(count("/refresh"), 1, `round ${round}`);
    const ends = await Promise.all([a, b, c].map(async (x) => (await x.session()).endsAt));
    assert.equal(new Set(ends).size, 1);
  }
  // Ahead of the end, too.
  seen = [];
  await later("wall", 285);
  await Promise.all([a, b, c, a, b, c].map(ok));
  assert.equal(count("/refresh"), 1);

  // A token that has ended is no answer to a new tab.
  seen = [];
  await later("wall", 400);
  const d = cookieTab();
  await ok(d);
  assert.deepEqual(seen.map((x) => [x.path, x.status]), [["/refresh", 200], ["/clientes", 200]]);
  assert.deepEqual([a.ends, b.ends, c.ends, d.ends], [[], [], [], []]);
}));

scene("a new tab that uses the session goes by the cookie, and the others follow", () => withTabs(async () => {
  const a = cookieTab();
  await a.login(USER1, PASSWORD);
  // A form without scripts has logged in since, which ended the session of a.
  const body = JSON.stringify({ user: USER1, password: PASSWORD, cookie: true });
  await there(async (base, body) => {
    const headers = { "Content-Type": "application/json" };
    await fetch(base + "/login", { method: "POST", headers, body, credentials: "include" });
  }, base, body);
  const b = cookieTab();
  await b.refresh();
  assert.equal(count("/refresh"), 1);
  await until(() => a.sessions.length === 2);
  await Promise.all([ok(a), ok(b)]);
  assert.deepEqual([a.ends, b.ends], [[], []]);
}));

scene("a logout in one tab ends the others, and a login goes on in them", () => withTabs(async () => {
  const [a, b] = [cookieTab(), cookieTab()];
  const user = await a.login(USER1, PASSWORD);
  await until(() => b.session());
  await a.logout();
  await until(() => b.ends.length);
  assert.deepEqual([a.ends, b.ends], [[], ["logged_out"]]);
  seen = [];
  await rejects(b.fetch("/clientes"), "logged_out");
  await rejects(a.fetch("/clientes"), "logged_out");
  assert.deepEqual(seen, []);

  // Nor does a refresh that was under way at another tab bring a back.
  await there((user) => {
    const session = { token: "late", user, since: Date.now(), goodFor: 300_000, endsAt: 0 };
    world.channels[1].postMessage({ kind: "refresh", session });
  }, user);
  await b.login(USER1, PASSWORD);
  await until(() => a.session());
  await ok(a);
  assert.equal(count("/refresh"), 0);
  assert.equal(a.sessions.length, 2);
}));

scene("another user's login in another tab is the end", () => withTabs(async () => {
  const [a, b, c] = [cookieTab(), cookieTab(), cookieTab()];
  await a.login(USER1, PASSWORD);
  await until(async () => (await b.session()) && (await c.session()));
  await b.login(USER2, PASSWORD);
  await until(() => a.ends.length && c.ends.length);
  assert.deepEqual([a.ends, b.ends, c.ends], [["user_changed"], [], ["user_changed"]]);
  await rejects(a.fetch("/clientes"), "logged_out");
  await b.refresh(); // which makes nobody somebody else
  const d = cookieTab();
  await ok(d);
  assert.equal((await d.session()).user.user, USER2);
  assert.equal(await a.session(), null);
  await ok(b);
  assert.deepEqual(b.ends, []);
}));

scene("tabs that do not use the cookie hear nothing", () => withTabs(async () => {
  const [a, b] = [cookieTab(), tab()];
  const c = cookieTab();
  await a.login(USER1, PASSWORD);
  await until(() => c.session());
  assert.equal(await b.session(), null);
  await b.login(USER2, PASSWORD);
  await b.logout();
  await ok(a);
  assert.deepEqual([a.ends, c.ends], [[], []]);
}));

if (!inBrowser) scene("clients in one process of Node have nothing in common, and do not keep it alive", async () => {
  const { status } = await run(`
    const [a, b] = [connect("http://127.0.0.1:1", { cookie: true }), connect("http://127.0.0.1:1", { cookie: true })];
    globalThis.location = new URL("http://127.0.0.1:1"); // as a tab
    connect("", { cookie: true });
  `);
  assert.equal(status, 0);
});
async function run(script) {
  const module = new URL("../../../../api/client/client.js", import.meta.url);
  const node = spawn(process.execPath, ["--input-type=module", "-e", `import { connect } from "${module}";` + script], { stdio: "inherit" });
  const [status] = await once(node, "exit");
  return { status };
}

scene("an address with a slash at its end", async () => {
  const api = tab({ at: base + "/" });
  await api.login(USER1, PASSWORD);
  await ok(api);
});

const names = (api) => api.changes.map(([name]) => name);
// The end of the feed, as a cursor.
const feedEnd = async (api) => (await api.json("GET", "/clientes/changes")).cursor;

scene("changes are followed as they are made, until each() has enough", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const [tag, since] = [`follow ${WORLD} `, await feedEnd(api)];
  const ana = await api.create(tag + "Ana");
  const following = api.follow(since, tag + "last");
  await until(() => names(api).includes(tag + "Ana"));
  await api.clientes.update(ana, { name: tag + "Eva" });
  await api.create(tag + "last");
  await api.create(tag + "next");
  const cursor = await following;
  assert.deepEqual(names(api).filter((name) => name.startsWith(tag)), ["Ana", "Eva", "last"].map((name) => tag + name));
  assert.equal(cursor, api.changes.at(-1)[1]);
  assert.equal(streams.length, 1);
  assert.notEqual(await api.follow(cursor, tag + "next"), cursor); // where it ended, it goes on
});

scene("a stream that breaks off goes on, and nothing comes twice or is missing", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const tag = `cut ${WORLD} `;
  const following = api.follow(await feedEnd(api), tag + 4);
  const mine = () => names(api).filter((name) => name.startsWith(tag));
  for (let i = 0; i < 5; i++) {
    await until(() => streams.length > i);
    await api.create(tag + i);
    await until(() => mine().length === i + 1);
    if (i < 4) i % 2 ? streams[i].res.destroy() : streams[i].res.end();
  }
  await following;
  assert.deepEqual(mine(), [0, 1, 2, 3, 4].map((i) => tag + i));
});

scene("a stream ends with its token, and goes on with the next", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const tag = `token ${WORLD}`;
  const following = api.follow(await feedEnd(api), tag);
  await until(() => streams.length === 1);
  expireAll();
  streams[0].answer.unpipe();
  streams[0].res.end('event: end\ndata: {"code":"token_expired"}\n\n');
  await until(() => streams.length === 2);
  await api.create(tag);
  await following;
  assert.equal(count("/refresh"), 1);
});

scene("who follows passively does not use the session", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const since = await feedEnd(api);
  const following = api.follow(since, "never", { passive: true });
  await until(() => streams.length === 1);
  await there(() => void (world.clock.wall += 295_000)); // of 300 s
  streams[0].res.destroy();
  assert.equal(typeof (await following), "string");
  assert.equal(count("/refresh"), 0);
});

scene("where streams cannot be read, requests wait for changes", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const tag = `wait ${WORLD}`;
  await there(() => {
    world.body = Object.getOwnPropertyDescriptor(Response.prototype, "body");
    delete Response.prototype.body;
  });
  try {
    const following = api.follow(await feedEnd(api), tag + 1);
    await until(() => seen.some(({ path }) => path.includes("wait=25")));
    await api.create(tag + 0);
    await until(() => names(api).includes(tag + 0));
    await api.create(tag + 1);
    await following;
    assert.equal(streams.length, 0);
  } finally {
    await there(() => void Object.defineProperty(Response.prototype, "body", world.body));
  }
});

scene("behind a proxy that holds streams back, pages are read for an hour", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const tag = `held ${WORLD} `;
  const asks = (accept) => seen.filter(({ path, headers }) => path.includes("wait=25") && headers.accept === accept);
  before = (exchange) => (exchange.headers.accept === "text/event-stream" && held ? new Promise(() => {}) : undefined);
  let held = true;
  await there(() => {
    const plain = globalThis.setTimeout;
    world.restore = () => (globalThis.setTimeout = plain);
    globalThis.setTimeout = (work, ms) => (ms === 40_000 ? void (world.silence = work) : plain(work, ms));
  });
  const following = api.follow(await feedEnd(api), tag + "last");
  await until(() => asks("text/event-stream").length);
  await there(() => (world.restore(), world.silence()));
  const next = async (name) => {
    await api.create(tag + name);
    await until(() => names(api).includes(tag + name));
  };
  await next("first");
  await next("second");
  await later("wall", 3500);
  await next("third");
  assert.equal(asks("text/event-stream").length, 1);
  held = false;
  await later("wall", 100);
  await next("fourth");
  await until(() => streams.length === 1);
  await api.create(tag + "last");
  await following;
});

scene("a refusal ends who follows, and so do each(), a signal and a logout", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  await rejects(api.follow("999999-abc", ""), "invalid_parameter");
  const failing = api.follow(await feedEnd(api), WORLD);
  await until(() => streams.length === 1);
  await api.create("fail " + WORLD);
  await assert.rejects(failing, /of each/);
  const aborted = api.follow(null, "", { abort: true });
  await until(() => streams.length === 2);
  await there(() => world.abort.abort(new Error("enough")));
  await assert.rejects(aborted, /enough/);
  await there(() => (world.abort = undefined));
  const out = api.follow(null, "");
  await until(() => streams.length === 3);
  await api.logout();
  await rejects(out, "logged_out");
});

scene("after an abort or a logout nothing more is handed out", async () => {
  const stops = {
    enough: () => there(() => world.abort.abort(Object.assign(new Error(), { code: "enough" }))),
    logged_out: (api) => api.logout(),
  };
  for (const [code, stop] of Object.entries(stops)) {
    const api = tab();
    await api.login(USER1, PASSWORD);
    const since = await feedEnd(api);
    for (let i = 0; i < 5; i++) await api.create(`late ${WORLD}`);
    await there(() => void (world.held = new Promise((done) => (world.release = done))));
    const following = api.follow(since, "never", { abort: true });
    await until(() => api.changes.length);
    await stop(api);
    await there(() => void (world.release(), (world.held = undefined)));
    await rejects(following, code);
    assert.equal(api.changes.length, 1);
    await there(() => void (world.abort = undefined));
  }
});

scene("who follows does not become somebody else", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const since = await feedEnd(api);
  for (let i = 0; i < 2; i++) await api.create(`whose ${WORLD}`);
  await there(() => void (world.held = new Promise((done) => (world.release = done))));
  const following = api.follow(since, "never");
  await until(() => api.changes.length);
  await api.logout();
  await api.login(USER2, PASSWORD);
  await there(() => void (world.release(), (world.held = undefined)));
  await rejects(following, "user_changed");
  assert.equal(api.changes.length, 1);
});

scene("a program has a key in place of a login", async () => {
  const api = tab();
  await api.login(USER1, PASSWORD);
  const tag = `key ${WORLD}`;
  const { key } = await api.json("POST", "/keys", { name: tag, current: PASSWORD });
  const program = tab({ key });
  const following = program.follow(await feedEnd(program), tag);
  await later("wall", 86_400);
  await program.refresh();
  await program.create(tag);
  await following;
  assert.equal(await program.session(), null);
  assert.deepEqual(program.ends, []);
  const old = tab({ key });
  before = ({ token }) => token === key && { status: 401, body: '{"message":"Expired.","code":"token_expired"}' };
  await rejects(old.create(tag), "token_expired");
  assert.deepEqual(old.ends, ["token_expired"]);
  before = () => {};
  await program.logout();
  await rejects(program.create(tag), "logged_out");
  const ended = tab({ key });
  for (let i = 0; i < 2; i++) await rejects(ended.create(tag), "token_revoked");
  assert.deepEqual(ended.ends, ["token_revoked"]);
  assert.equal(seen.at(-1).token, key);
  await rejects(tab({ key: "" }).create(tag), "token_missing");
  assert.equal(count("/refresh"), 0);
});

// The last one: what it counts against the user stays.
scene("strangers who fail under the same name do not keep out who has logged in here", async () => {
  const [mine, shared, stranger] = [storage(), storage(), tab()];
  const [api, other] = [tab({ storage: mine }), tab({ storage: shared })];
  await api.login(USER2, PASSWORD);
  await other.login(USER2, PASSWORD);
  await api.logout();
  const codes = [];
  while (codes.at(-1) !== "too_many_attempts" && codes.length < 12) {
    codes.push(await stranger.login(USER2, "guess").catch((error) => error.code));
  }
  assert.deepEqual(codes.slice(0, 5), Array(5).fill("invalid_login"));
  assert.equal(codes.at(-1), "too_many_attempts");
  await api.login(USER2, PASSWORD);
  await ok(api);
  const [first, second] = seen.filter((x) => x.answer?.device && x.body.device);
  assert.equal(first.body.device.split(".")[1], first.answer.device.split(".")[1], "the device stays the same");
  assert.equal(second, undefined);
  await ok(other);
});
