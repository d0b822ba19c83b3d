// Where client.js runs: in this process, or in a page of Chromium if CHROMIUM names the program and PROFILE a folder
// for it. The cases are the same. In both, `world` is what they have there.
import { spawn } from "node:child_process";
import http from "node:http";

const { CHROMIUM, PROFILE } = process.env;
export const inBrowser = Boolean(CHROMIUM);

// makeWorld runs there. tell(event, ...args) arrives at the listener that open() was called with.
function makeWorld(module, tell) {
  const world = { ...module, tell, clients: [], storages: [], clock: { wall: 0, monotonic: 0 } };
  // What the server does for tabs without locks and channels is what most cases are about.
  world.navigator = (value) => Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  world.locks = globalThis.document && navigator.locks;
  world.navigator({});
  world.channels = [];
  world.underway = 0; // messages that have not arrived
  world.BroadcastChannel = class extends BroadcastChannel {
    constructor(name) {
      super(name);
      world.channels.push(this);
      this.addEventListener("message", () => world.underway--);
    }
    postMessage(message) {
      super.postMessage(message); // a closed channel throws
      world.underway += world.channels.filter((other) => other !== this && other.name === this.name).length;
    }
  };
  globalThis.BroadcastChannel = undefined;
  const [now, passed] = [Date.now, performance.now.bind(performance)];
  Date.now = () => now() + world.clock.wall;
  performance.now = () => passed() + world.clock.monotonic;
  world.failure = (error) => ({
    type: error instanceof TypeError ? "TypeError" : "Error", name: error.name, message: error.message,
    members: { ...error },
  });
  globalThis.world = world;
}

// there runs a function there, which sees its arguments, `world` and nothing else of here. What it returns or throws
// comes back as JSON carries it.
export function there(run, ...args) {
  return handled(send(run, args));
}
let send;

// handled gives a promise back that a case looks at later. Else one that rejects before is an unhandled rejection,
// which fails the case that happens to run.
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}

// open makes the world. The page is one of the server at base.
export async function open(base, listener) {
  if (!inBrowser) {
    makeWorld(await import("../../../../api/client/client.js"), listener);
    send = async (run, args) => run(...args);
    return { close() {} };
  }
  const waiting = []; // commands for the page
  const running = new Map(); // by their number
  let poll; // the page, which asks for commands
  const give = () => {
    if (poll && waiting.length) poll.end(JSON.stringify(waiting.splice(0))), (poll = undefined);
  };
  const told = {
    listen: (event, ...args) => listener(event, ...args),
    value: (id, value) => running.get(id).resolve(value),
    failure: (id, { type, name, message, members }) => {
      const error = type === "TypeError" ? new TypeError(message) : new Error(message);
      running.get(id).reject(Object.assign(error, members, type !== name && { name }));
    },
  };
  // Another origin than base: a browser has six connections for one, and cases hold some.
  const control = http.createServer(async (req, res) => {
    res.setHeader("Access-Control-Allow-Origin", "*");
    let text = "";
    for await (const chunk of req) text += chunk;
    if (req.method === "GET") return (poll = res), give();
    res.end();
    for (const [what, ...args] of JSON.parse(text)) told[what](...args);
  });
  await new Promise((resolve) => control.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${control.address().port}/`;
  send = (run, args) => new Promise((resolve, reject) => {
    running.set(running.size, { resolve, reject });
    waiting.push([running.size - 1, String(run), args]);
    give();
  });
  // It ends when the other end of its pipe is closed, so it outlives no test that is killed.
  const browser = spawn(CHROMIUM, [
    "--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe", "--user-data-dir=" + PROFILE,
    `${base}/harness#${url}`,
  ], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], env: { ...process.env, TMPDIR: PROFILE } });
  browser.on("error", (error) => console.error(error));
  await there(() => {}); // the page has client.js
  return {
    async close() {
      const gone = new Promise((resolve) => browser.once("exit", resolve));
      browser.kill();
      await gone;
      control.close();
      control.closeAllConnections();
    },
  };
}

// The page. It loads client.js from the server.
export const harness = `<!doctype html><meta charset="utf-8"><title>client.js</title><script type="module">
const url = location.hash.slice(1);
let outbox = [], posting;
function post(...message) {
  outbox.push(message);
  posting ??= (async () => {
    while (outbox.length) await plain(url, { method: "POST", body: JSON.stringify(outbox.splice(0)) });
    posting = undefined;
  })();
}
const plain = fetch.bind(globalThis);
${makeWorld}
makeWorld(await import("/client.js"), (...args) => post("listen", ...args));
for (;;) {
  for (const [id, run, args] of await (await plain(url)).json()) {
    (async () => (0, eval)("(" + run + ")")(...args))().then(
      (value) => post("value", id, value), (error) => post("failure", id, world.failure(error)));
  }
}
</script>`;
