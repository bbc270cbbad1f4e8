// Run by tests/e2e_browser.rs; alone: node --test examples/browser-logger/
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { LIMITS, createLogger } from "./watershed-logger.js";

const rules = JSON.parse(readFileSync(new URL("redaction.json", import.meta.url), "utf8"));

class Store {
  entries = new Map();
  quota = Infinity;
  get length() { return this.entries.size; }
  key(at) { return [...this.entries.keys()][at] ?? null; }
  getItem(key) { return this.entries.get(key) ?? null; }
  setItem(key, text) {
    if (text.length + key.length > this.quota) throw new Error("QuotaExceededError");
    this.entries.set(key, text);
  }
  removeItem(key) { this.entries.delete(key); }
}

/** A browser whose time goes on only when it is told to, and whose network does what `answer` says. */
class Browser {
  time = 1_700_000_000_000;
  timers = new Map();
  listeners = {};
  requests = [];
  beacons = [];
  online = true;
  seed = 0;
  storage = new Store();
  session = new Store();
  answer = () => ({ status: 200 });
  takesBeacon = () => true;

  environment = {
    now: () => this.time,
    setTimeout: (action, delay) => {
      const timer = (this.seed += 1);
      this.timers.set(timer, { action, at: this.time + delay });
      return timer;
    },
    clearTimeout: (timer) => this.timers.delete(timer),
    random: (bytes) => Uint8Array.from({ length: bytes }, () => (this.seed = (this.seed * 1103515245 + 12345) % 2 ** 31) >> 16),
    send: async (url, body) => {
      this.requests.push({ url, body, at: this.time });
      return this.answer(body);
    },
    beacon: (url, body) => this.takesBeacon(body) && this.beacons.push({ url, body }) > 0,
    isOnline: () => this.online,
    storage: this.storage,
    session: this.session,
    listen: (name, action) => { this.listeners[name] = action; },
    path: () => "/cart",
  };

  logger(options = {}) {
    return createLogger({ endpoint: "https://logs/logs", key: "k", service: "shop", rules, environment: this.environment, ...options });
  }

  /** Lets time pass, and all that becomes due in it happen in order. */
  async pass(duration) {
    const end = this.time + duration;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].action();
    }
    this.time = end;
  }

  sizes() { return this.requests.map((request) => JSON.parse(request.body).length); }
  sent() { return this.requests.flatMap((request) => JSON.parse(request.body)); }
}

const messages = (records) => records.map((record) => record.message);

test("ten logs go at once, and fewer after five seconds", async () => {
  const browser = new Browser();
  const log = browser.logger();
  for (let count = 0; count < 12; count += 1) log.info(`log ${count}`);
  await browser.pass(4999);
  assert.deepEqual(browser.sizes(), [10]);
  await browser.pass(1);
  assert.deepEqual(browser.sizes(), [10, 2]);
  assert.equal(browser.requests[0].url, "https://logs/logs?key=k");
  const record = browser.sent()[0];
  assert.deepEqual([record.level, record.message, record.service], ["INFO", "log 0", "shop"]);
  assert.equal(record.timestamp, "2023-11-14T22:13:20.000Z");
  assert.equal(record.metadata["url.path"], "/cart");
  assert.equal(new Set(browser.sent().map((each) => each.metadata["log.record.uid"])).size, 12);
});

test("the first of equal logs leaves at once, and one summary follows when the window of ten seconds ends", async () => {
  const browser = new Browser();
  const log = browser.logger();
  for (let count = 0; count < 5; count += 1) {
    log.warn("again", { count });
    await browser.pass(1000);
  }
  log.error("again");
  await browser.pass(20_000);
  const [first, other, summary] = browser.sent();
  assert.deepEqual([first.metadata.count, first.metadata["dedup.count"]], [0, undefined]);
  assert.equal(other.level, "ERROR", "another severity is another log");
  assert.deepEqual([summary.metadata.count, summary.metadata["dedup.count"]], [1, 4]);
  assert.equal(summary.metadata["dedup.first_seen"], first.timestamp);
  assert.equal(summary.metadata["dedup.last_seen"], summary.timestamp);
  assert.equal(Date.parse(summary.timestamp) - Date.parse(first.timestamp), 4000);
  log.warn("again");
  await browser.pass(5000);
  assert.equal(browser.sent().length, 4, "a new window begins with a record of its own");
});

test("a batch is sent again three times, each time later, and then stored", async () => {
  const browser = new Browser();
  browser.answer = () => ({ status: 503 });
  browser.logger().info("lost?");
  await browser.pass(120_000);
  const waits = browser.requests.slice(1).map((request, at) => request.at - browser.requests[at].at);
  assert.equal(waits.length, 3);
  waits.forEach((wait, at) => assert.ok(wait >= 500 * 2 ** at && wait <= 1000 * 2 ** at, `${waits}`));
  assert.equal(new Set(browser.requests.map((request) => request.body)).size, 1, "with the same ids");
  assert.equal(browser.storage.length, 1);
  // The page of tomorrow sends it.
  browser.answer = () => ({ status: 200 });
  browser.logger();
  await browser.pass(0);
  assert.equal(browser.storage.length, 0);
  assert.equal(browser.requests.at(-1).body, browser.requests[0].body);
});

test("a server that is busy is asked again when it says so, and one that refuses is not", async () => {
  const busy = new Browser();
  busy.answer = () => (busy.requests.length === 1 ? { status: 429, retryAfter: "7" } : { status: 200 });
  busy.logger().info("patience");
  await busy.pass(30_000);
  assert.deepEqual(busy.requests.map((request) => request.at - 1_700_000_000_000), [5000, 12_000]);
  const refusing = new Browser();
  refusing.answer = () => ({ status: 401 });
  const log = refusing.logger();
  log.info("no");
  await refusing.pass(60_000);
  assert.deepEqual([refusing.requests.length, refusing.storage.length, log.stats().dropped.refused], [1, 0, 1]);
  log.info("next");
  await refusing.pass(60_000);
  assert.equal(refusing.sent()[2].metadata["logger.dropped.refused"], 1, "the next batch tells of it");
  await refusing.pass(600_000);
  assert.equal(refusing.requests.length, 2, "and nothing is sent for that alone");
});

test("what is logged offline is stored, and sent when the browser is online", async () => {
  const browser = new Browser();
  const log = browser.logger();
  browser.online = false;
  for (let count = 0; count < 15; count += 1) log.info(`offline ${count}`);
  await browser.pass(5000);
  assert.deepEqual([browser.requests.length, browser.storage.length], [0, 2]);
  browser.online = true;
  browser.listeners.online();
  await browser.pass(0);
  assert.deepEqual(messages(browser.sent()), Array.from({ length: 15 }, (_, count) => `offline ${count}`));
  assert.equal(browser.storage.length, 0);
});

test("a browser that comes online while a batch fails sends what was stored", async () => {
  const browser = new Browser();
  browser.answer = () => ({ status: 0 });
  browser.logger().info("failing");
  await browser.pass(5000);
  browser.online = false;
  browser.listeners.online();
  await browser.pass(60_000);
  assert.deepEqual([browser.requests.length, browser.storage.length], [1, 1]);
  browser.answer = () => ({ status: 200 });
  browser.online = true;
  browser.listeners.online();
  await browser.pass(0);
  assert.deepEqual([browser.requests.length, browser.storage.length], [2, 0]);
});

test("storage and memory are bounded, and what is dropped is counted", async () => {
  const browser = new Browser();
  const log = browser.logger();
  browser.online = false;
  const text = "a text ".repeat(1000);
  for (let count = 0; count < 200; count += 1) {
    log.info(`${count} ${text}`);
    if (count % 10 === 9) await browser.pass(0);
  }
  const stored = [...browser.storage.entries.values()];
  assert.ok(stored.join("").length <= LIMITS.storedSize);
  const kept = stored.flatMap((batch) => JSON.parse(batch));
  assert.ok(kept.at(-1).message === "the browser dropped logs" || kept.at(-1).message.startsWith("199 "), "the oldest go first");
  const { dropped } = log.stats();
  const made = 200 + kept.filter((record) => record.message === "the browser dropped logs").length;
  assert.ok(dropped.storage > 0 && kept.length + dropped.storage >= made, JSON.stringify([kept.length, dropped]));
  // A transport that never answers, so that all waits in memory.
  const stuck = new Browser();
  stuck.answer = () => new Promise(() => {});
  const other = stuck.logger();
  for (let count = 0; count < 3000; count += 1) other.info(`log ${count}`);
  assert.equal(other.stats().waiting, LIMITS.queueRecords);
  assert.equal(other.stats().dropped.queue, 3000 - 10 - LIMITS.queueRecords);
});

test("where the browser's own quota is used up, the oldest batches make room or the batch is dropped", async () => {
  const browser = new Browser();
  const log = browser.logger();
  browser.online = false;
  browser.storage.quota = 0;
  log.info("no room");
  await browser.pass(5000);
  assert.equal(log.stats().dropped.storage, 1);
});

test("when the page is left, beacons of at most 64 KiB take what waits, and the rest is stored", async () => {
  const browser = new Browser();
  const log = browser.logger({ batchSize: 1000 });
  browser.takesBeacon = () => {
    if (browser.beacons.length === 2) throw new TypeError("too much");
    return true;
  };
  for (let count = 0; count < 40; count += 1) log.info(`${count} ${"ä".repeat(2000)}`);
  log.info(`39 ${"ä".repeat(2000)}`);
  browser.listeners.visibilitychange({ target: { visibilityState: "visible" } });
  assert.equal(browser.beacons.length, 0);
  browser.listeners.visibilitychange({ target: { visibilityState: "hidden" } });
  browser.listeners.pagehide({});
  const beacons = browser.beacons.map((beacon) => beacon.body);
  assert.equal(beacons.length, 2);
  assert.ok(beacons.every((body) => new TextEncoder().encode(body).length <= 64 << 10));
  const all = [...beacons, ...browser.storage.entries.values()].flatMap((body) => JSON.parse(body));
  assert.equal(all.length, 41, "each once, and the open window's summary");
  assert.equal(all.at(-1).metadata["dedup.count"], 1);
});

test("a batch under way when the page is left goes with the beacon, and is not sent again", async () => {
  const browser = new Browser();
  browser.answer = () => ({ status: 503 });
  const log = browser.logger({ interval: 0 });
  log.info("under way");
  await browser.pass(0);
  assert.equal(browser.requests.length, 1);
  browser.listeners.pagehide({});
  assert.equal(browser.beacons[0].body, browser.requests[0].body);
  await browser.pass(60_000);
  assert.deepEqual([browser.requests.length, browser.storage.length], [1, 0]);
});

test("secrets are hidden before anything is stored or sent", async () => {
  const browser = new Browser();
  const log = browser.logger();
  browser.online = false;
  const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
  log.info(`password=hunter2 https://x.example/?a=1&api_key=abc123&b=2 {"refreshToken": "r3fresh"} card 4111 1111 1111 1111 OK`, {
    user: { name: "ann", contact: [{ secret_key: "s3cret", id: 7 }] },
    "X-API-Key": 12345, token_count: 3, text: `jwt ${jwt} end`, header: "Authorization: Bearer abcdef0123456789abcdef",
    nested: '{"client_secret":"n3sted"}', time: 1700000000000, phrase: "no secret here", [jwt]: 1,
    address: "postgres://bob:p4ssword@db/x", ssn: "078-05-1120", quoted: 'password: "two words"',
  });
  log.error(new Error("apiKey: e4rror"));
  await browser.pass(5000);
  const text = [...browser.storage.entries.values()].join("");
  for (const secret of ["hunter2", "abc123", "r3fresh", "4111", "s3cret", "12345", "eyJ", "abcdef0123", "n3sted", "e4rror",
    "p4ssword", "078-05", "two words"]) assert.ok(!text.includes(secret), `${secret} in ${text}`);
  const [{ message, metadata }] = JSON.parse([...browser.storage.entries.values()].find((each) => each.startsWith("[")));
  assert.equal(message, 'password=**** https://x.example/?a=1&api_key=****&b=2 {"refreshToken": "****"} card **** OK');
  assert.deepEqual(metadata.user, { name: "ann", contact: [{ secret_key: "****", id: 7 }] });
  assert.deepEqual([metadata.token_count, metadata.time, metadata.phrase], [3, 1_700_000_000_000, "no secret here"]);
});

test("rules of one's own mask, leave a part, and drop", async () => {
  const browser = new Browser();
  const what = (rule, action, mask = "****") => ({ rule, action, mask });
  const own = {
    version: 1, ignored_keys: ["token"], allowed_keys: ["token", "a", "internal.x", "card", "text"], skipped: [],
    keys: { words: [{ words: "token", ...what("keys", "mask") }], tails: [], patterns: [{ source: "^internal\\.", flags: "gu", ...what("internal", "drop") }] },
    values: [
      { source: "(?<![\\d.])\\d{4}(?: ?\\d){9,15}", flags: "gu", check: "luhn", ...what("card", "partial") },
      { source: "id (?<secret>\\d+)", flags: "gu", check: null, ...what("id", "mask", "[id]") },
      { source: "kill", flags: "gu", check: null, ...what("kill", "drop_record") },
      { source: "gone", flags: "gu", check: null, ...what("gone", "drop") },
      { source: "(", flags: "gu", check: null, ...what("broken", "mask") },
    ],
    allowed_values: [{ source: "^4242", flags: "gu" }],
  };
  const log = browser.logger({ rules: own });
  log.info("id 17 of 4242 4242 4242 4242", { token: "t", "internal.x": 1, card: "4111111111111111", text: "gone", other: 1 });
  log.info("kill this");
  await browser.pass(5000);
  const [{ message, metadata }] = browser.sent();
  assert.equal(message, "id [id] of 4242 4242 4242 4242");
  assert.deepEqual(Object.keys(metadata).sort(), ["card", "log.record.uid", "session.id", "token"]);
  assert.deepEqual([metadata.token, metadata.card], ["t", "****1111"]);
  assert.deepEqual([log.stats().dropped.redaction, log.stats().unusableRules], [1, 1]);
});

test("the session is kept over pages, and a trace is new for each request", async () => {
  const browser = new Browser();
  const log = browser.logger();
  const [one, other] = [log.trace(), log.trace()];
  assert.match(one.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.equal(one.headers["X-Trace-Id"], one.traceId);
  assert.notEqual(one.traceId, other.traceId);
  one.log("INFO", "request");
  browser.logger().info("next page");
  await browser.pass(5000);
  const [request, next] = browser.sent();
  assert.deepEqual([request.trace_id, request.span_id, next.trace_id], [one.traceId, one.spanId, undefined]);
  assert.match(request.metadata["session.id"], /^[0-9a-f]{32}$/);
  assert.equal(request.metadata["session.id"], next.metadata["session.id"]);
});

test("nothing that is logged throws into the page, and the logger does not log itself", async () => {
  const browser = new Browser();
  const log = browser.logger({ captureErrors: true });
  const loop = {};
  loop.loop = loop;
  const hostile = { get own() { log.info("from a getter"); return 1; }, get bad() { throw new Error("bad"); } };
  log.info("hostile", { hostile });
  log.info({ toString() { throw new Error("bad"); } });
  log.info("strange", { loop, big: 2n ** 70n, f() {}, s: Symbol("s"), nothing: undefined, date: new Date(0), not: NaN });
  log.info(undefined, null);
  browser.answer = () => { log.info("from the transport"); throw new Error("network"); };
  browser.listeners.error({ error: new TypeError("no such item") });
  browser.listeners.unhandledrejection({ reason: "text" });
  await browser.pass(5000);
  const records = browser.sent();
  assert.deepEqual(messages(records), ["strange", "undefined", "uncaught error", "unhandled rejection", "the browser dropped logs"]);
  assert.equal(records[0].metadata.big, String(2n ** 70n));
  assert.equal(records[0].metadata.date, "1970-01-01T00:00:00.000Z");
  assert.deepEqual([records[2].metadata["exception.type"], records[2].metadata["exception.message"]], ["TypeError", "no such item"]);
  assert.ok(log.stats().dropped.reentrant >= 2);
  await browser.pass(600_000);
  assert.equal(browser.storage.length, 1);
  browser.answer = () => ({ status: 200 });
  log.info("still at work");
  await browser.pass(5000);
  assert.equal(JSON.parse(browser.requests.at(-2).body)[0].message, "still at work");
  assert.equal(browser.storage.length, 0, "and what was stored has followed");
});

test("flush sends all that waits, and says when that was tried", async () => {
  const browser = new Browser();
  const log = browser.logger({ batchSize: 1000 });
  for (let count = 0; count < 250; count += 1) log.info(`log ${count}`);
  await log.flush();
  assert.deepEqual(browser.sizes(), [100, 100, 50]);
  assert.deepEqual([log.stats().sent, log.stats().waiting], [250, 0]);
});

test("a logger without rules sends nothing", async (context) => {
  const said = context.mock.method(console, "error", () => {});
  const browser = new Browser();
  const log = browser.logger({ rules: undefined });
  log.info("secret");
  await browser.pass(60_000);
  assert.equal(said.mock.callCount(), 1);
  assert.deepEqual([browser.requests.length, log.stats().dropped.redaction], [0, 1]);
});
