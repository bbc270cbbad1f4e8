// @ts-check
/**
 * Sends what a web page logs to watershed's receiver `http`, without dependencies and without a build step.
 *
 *     import { createLogger } from "./watershed-logger.js";
 *     const rules = await (await fetch("redaction.json")).json();
 *     const log = createLogger({ endpoint: "https://logs.example/logs", key: "<public key>", service: "shop", rules });
 *     log.info("cart opened", { "cart.items": 3 });
 *
 * A record is redacted first, so that no secret waits in memory, is stored or sent; then repeats are counted; then it waits
 * for its batch. A batch that can't be sent waits in localStorage, and is sent again when the browser is online, when another
 * batch got through, and when the next page loads. `log.record.uid` lets the processor `dedup` (`mode: ids`) drop what came
 * twice. When the page is left, a beacon takes what is there; nobody can tell a page whether a beacon arrived.
 *
 * No method throws, and nothing that the logger does itself is logged. Everything that grows has a limit; what is dropped is
 * counted by reason, in `stats()` and in a record of the next batch.
 *
 * @typedef {"DEBUG" | "INFO" | "WARN" | "ERROR"} Level
 * @typedef {import("./redactor.js").Attributes} Attributes
 * @typedef {object} Options
 * @property {string} endpoint The URL of the receiver's path, such as `https://logs.example/logs`.
 * @property {string} [key] A key of the receiver that lets send and nothing else; everybody can read it in the page.
 * @property {string} service The name of the application: `service.name`.
 * @property {object | null} rules What `watershed redact --export json` writes; `null` hides nothing in the page.
 * @property {Attributes} [attributes] Attributes of every record.
 * @property {boolean} [captureErrors] Whether uncaught errors and rejections are logged. Default false.
 * @property {number} [interval] The longest time that a record waits for its batch, in ms. Default 5000.
 * @property {number} [batchSize] So many records are sent at once. Default 10.
 * @property {number} [dedupWindow] How long repeats of a record are counted, in ms; 0 for never. Default 10000.
 * @property {number} [maxRetries] How often a batch is sent again before it is stored. Default 3.
 * @property {string} [storageKey] What the names of entries in localStorage begin with. Default `watershed-logger`.
 * @property {Partial<Environment>} [environment] Replaces parts of the browser, for tests.
 *
 * @typedef {object} Environment What the logger needs of a browser.
 * @property {() => number} now Milliseconds since the Unix epoch.
 * @property {(action: () => void, delay: number) => unknown} setTimeout
 * @property {(timer: unknown) => void} clearTimeout
 * @property {(bytes: number) => Uint8Array} random
 * @property {(url: string, body: string) => Promise<{status: number, retryAfter?: string | null}>} send
 * @property {(url: string, body: string) => boolean} beacon Whether the browser has taken the body.
 * @property {() => boolean} isOnline
 * @property {Store} storage Shared by the pages of an origin: localStorage.
 * @property {Store} session Of one tab: sessionStorage.
 * @property {(name: string, action: (event: any) => void) => void} listen To events of the window and the document.
 * @property {() => string} path The path of the page.
 * @typedef {{records: string[], isDone: boolean}} Batch Records under way; `isDone` once somebody else has taken them.
 * @typedef {{traceId: string, spanId: string}} Trace The ids of one request.
 * @typedef {Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">} Store
 */

import { Redactor, exception } from "./redactor.js";

/** In records, windows, batches, or characters. A browser lets a page have 64 KiB of beacons under way at a time. */
export const LIMITS = {
  record: 32 << 10, request: 60 << 10, requestRecords: 100, queueRecords: 1000, queueSize: 1 << 20,
  windows: 500, storedBatches: 100, storedSize: 256 << 10,
};
/** How long to wait before a batch is sent again, in ms: doubled each time, up to the most. */
const BACKOFF = { first: 1000, most: 30_000 };
/** How long an answer may take, in ms. */
const ANSWER_TIMEOUT = 30_000;

/** Starts a logger. @param {Options} options */
export function createLogger(options) {
  const logger = new Logger(options);
  if (logger.lastError) console.error("watershed-logger does not work:", logger.lastError);
  return logger;
}

class Logger {
  #options;
  #environment;
  #url;
  /** @type {Redactor | undefined} */
  #redactor;
  /** @type {Ring | undefined} */
  #ring;
  #session = "";
  /** Records that wait, as JSON. @type {string[]} */
  #queue = [];
  #queueSize = 0;
  /** The batch from the queue that is being sent. @type {Batch | undefined} */
  #flight;
  /** Open windows of repeats; the one that was quiet for longest is the first. @type {Map<string, any>} */
  #windows = new Map();
  /** What was dropped, by reason. @type {{[reason: string]: number}} */
  #dropped = {};
  /** What of it no record has told of yet. @type {{[reason: string]: number}} */
  #untold = {};
  #sent = 0;
  #isBusy = false;
  #isDraining = false;
  #draining = Promise.resolve();
  #mayResend = true;
  /** When the queue is to be sent at the latest. */
  #sendBy = Infinity;
  /** @type {unknown} */
  #timer;
  #wakeAt = Infinity;
  /** What went wrong last, for whoever looks for a mistake. @type {unknown} */
  lastError;

  /** @param {Options} options */
  constructor(options) {
    const defaults = { interval: 5000, batchSize: 10, dedupWindow: 10_000, maxRetries: 3, storageKey: "watershed-logger" };
    this.#options = { ...defaults, attributes: {}, ...options };
    this.#environment = { ...browser(), ...options.environment };
    this.#url = options.key ? `${options.endpoint}?key=${encodeURIComponent(options.key)}` : options.endpoint;
    this.#guard(() => this.#start());
  }

  #start() {
    const [environment, options] = [this.#environment, this.#options];
    if (options.rules === undefined) throw new TypeError("`rules` are missing; give null to hide nothing in the page");
    this.#redactor = new Redactor(options.rules);
    this.#ring = new Ring(environment.storage, options.storageKey, (reason, count) => this.#drop(reason, count));
    const name = `${options.storageKey}:session`;
    this.#session = environment.session.getItem(name) ?? this.#id(16);
    environment.session.setItem(name, this.#session);
    environment.listen("online", () => this.#resend());
    environment.listen("pagehide", () => this.#leave());
    environment.listen("visibilitychange", (event) => event?.target?.visibilityState === "hidden" && this.#leave());
    if (options.captureErrors) {
      environment.listen("error", (event) => this.error("uncaught error", { error: event.error ?? event.message }));
      environment.listen("unhandledrejection", (event) => this.error("unhandled rejection", { error: event.reason }));
    }
    this.#resend();
  }

  /** @param {unknown} message A text or an error. @param {Attributes} [attributes] */
  debug(message, attributes) { this.log("DEBUG", message, attributes); }
  /** @param {unknown} message A text or an error. @param {Attributes} [attributes] */
  info(message, attributes) { this.log("INFO", message, attributes); }
  /** @param {unknown} message A text or an error. @param {Attributes} [attributes] */
  warn(message, attributes) { this.log("WARN", message, attributes); }
  /** @param {unknown} message A text or an error. @param {Attributes} [attributes] */
  error(message, attributes) { this.log("ERROR", message, attributes); }

  /**
   * Logs. An attribute `error` becomes `exception.type`, `.message` and `.stacktrace`.
   * @param {Level} level
   * @param {unknown} message
   * @param {Attributes} [attributes]
   * @param {Trace} [trace] The request that it belongs to.
   */
  log(level, message, attributes, trace) {
    this.#guard(() => {
      const record = this.#record(level, message, attributes ?? {}, trace);
      if (record && !this.#isRepeat(record)) this.#enqueue(record);
      this.#schedule();
      if (this.#isDue()) this.#drain();
    });
  }

  /** The ids of one request to a server: give it `headers`, and log what belongs to it with `log`. */
  trace() {
    const [traceId, spanId] = [this.#id(16), this.#id(8)];
    const headers = { traceparent: `00-${traceId}-${spanId}-01`, "X-Trace-Id": traceId };
    const trace = { traceId, spanId, headers };
    /** @param {Level} level @param {unknown} message @param {Attributes} [attributes] */
    const log = (level, message, attributes) => this.log(level, message, attributes, trace);
    return { ...trace, log };
  }

  /** Sends what waits now, and resolves when that was tried. Open windows go on. */
  async flush() {
    this.#sendBy = -Infinity;
    await this.#drain();
  }

  /** Counts: records that a server or a beacon took, that wait, and that were dropped, by reason; rules that this browser can't read. */
  stats() {
    const unusable = this.#redactor?.unusable ?? 0;
    return { sent: this.#sent, waiting: this.#queue.length, dropped: { ...this.#dropped }, unusableRules: unusable };
  }

  // ---- From a call to the queue ----

  /** @param {() => void} action */
  #guard(action) {
    // What is logged from within the logger, by a getter of an attribute say, would never end.
    if (this.#isBusy) return this.#drop("reentrant", 1);
    this.#isBusy = true;
    try {
      action();
    } catch (error) {
      this.#drop("error", 1);
      this.lastError = error;
    } finally {
      this.#isBusy = false;
    }
  }

  /** @param {Level} level @param {unknown} message @param {Attributes} attributes @param {Trace} [trace] */
  #record(level, message, attributes, trace) {
    const { now, path } = this.#environment;
    const { error, ...others } = message instanceof Error ? { ...attributes, error: message } : attributes;
    const all = { "url.path": path(), ...this.#options.attributes, ...others, ...(error != null && exception(error)) };
    const text = message instanceof Error ? message.message : String(message);
    const redacted = this.#redactor?.record(text, all);
    if (redacted === undefined) return this.#drop("redaction", 1);
    const own = { "session.id": this.#session, "log.record.uid": this.#id(16) };
    const time = now();
    const record = {
      timestamp: new Date(time).toISOString(), level, message: redacted.message, service: this.#options.service,
      ...(trace && { trace_id: trace.traceId, span_id: trace.spanId }), metadata: { ...redacted.attributes, ...own },
    };
    if (JSON.stringify(record).length <= LIMITS.record) return record;
    return { ...record, metadata: { "logger.attributes_too_large": true, ...own } };
  }

  /** Whether a record is held back, as the processor `dedup` does it: its window's end sends a summary. @param {any} record */
  #isRepeat(record) {
    if (this.#options.dedupWindow <= 0) return false;
    const now = this.#environment.now();
    const key = JSON.stringify([record.level, record.message, record.metadata["exception.type"]]);
    const window = this.#windows.get(key);
    if (window === undefined || window.ends <= now) {
      if (window) this.#end(key);
      if (this.#windows.size >= LIMITS.windows) this.#end(/** @type {string} */ (this.#windows.keys().next().value));
      this.#windows.set(key, { ends: now + this.#options.dedupWindow, firstSeen: record.timestamp, count: 0 });
      return false;
    }
    window.saved ??= record;
    window.count += 1;
    window.lastSeen = record.timestamp;
    this.#windows.delete(key);
    this.#windows.set(key, window);
    return true;
  }

  /** Ends a window; if there were repeats, the first of them goes on as their summary. @param {string} key */
  #end(key) {
    const { saved, count, firstSeen, lastSeen } = this.#windows.get(key);
    this.#windows.delete(key);
    if (count === 0) return;
    const counted = { "dedup.count": count, "dedup.first_seen": firstSeen, "dedup.last_seen": lastSeen };
    this.#enqueue({ ...saved, timestamp: lastSeen, metadata: { ...saved.metadata, ...counted } });
  }

  /** @param {object} record */
  #enqueue(record) {
    const text = JSON.stringify(record);
    if (this.#queue.length === 0) this.#sendBy = this.#environment.now() + this.#options.interval;
    this.#queue.push(text);
    this.#queueSize += text.length;
    while (this.#queue.length > LIMITS.queueRecords || this.#queueSize > LIMITS.queueSize) {
      this.#queueSize -= this.#queue.shift()?.length ?? 0;
      this.#drop("queue", 1);
    }
  }

  /** @param {string} reason @param {number} count */
  #drop(reason, count) {
    for (const counts of [this.#dropped, this.#untold]) counts[reason] = (counts[reason] ?? 0) + count;
  }

  /** @param {number} bytes */
  #id(bytes) {
    return Array.from(this.#environment.random(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // ---- From the queue to the server ----

  #isDue() {
    return this.#queue.length >= this.#options.batchSize || (this.#queue.length > 0 && this.#sendBy <= this.#environment.now());
  }

  /** Sets the one timer to what comes first: the end of a window, or the time to send. */
  #schedule() {
    const environment = this.#environment;
    let next = this.#queue.length > 0 && !this.#isDraining ? this.#sendBy : Infinity;
    for (const window of this.#windows.values()) next = Math.min(next, window.ends);
    if (next === this.#wakeAt) return;
    environment.clearTimeout(this.#timer);
    this.#wakeAt = next;
    if (next < Infinity) this.#timer = environment.setTimeout(() => this.#tick(), Math.max(0, next - environment.now()));
  }

  #tick() {
    this.#wakeAt = Infinity;
    this.#guard(() => {
      const now = this.#environment.now();
      for (const [key, window] of [...this.#windows]) if (window.ends <= now) this.#end(key);
      this.#schedule();
      if (this.#isDue()) this.#drain();
    });
  }

  /** Sends what is stored again. */
  #resend() {
    this.#mayResend = true;
    this.#drain();
  }

  /** Sends batches one after the other, stored ones first, as long as there are some to send. */
  #drain() {
    if (!this.#isDraining && this.#ring) this.#draining = this.#sendAll(this.#ring);
    return this.#draining;
  }

  /** @param {Ring} ring */
  async #sendAll(ring) {
    this.#isDraining = true;
    try {
      for (;;) {
        const stored = this.#mayResend && this.#environment.isOnline() ? ring.first() : undefined;
        if (!stored && !this.#isDue()) break;
        await this.#sendBatch(ring, stored);
      }
    } catch (error) {
      this.#drop("error", this.#flight?.records.length ?? 1);
      this.#flight = undefined;
      this.lastError = error;
    }
    this.#isDraining = false;
    this.#schedule();
  }

  /** @param {Ring} ring @param {{name: string, records: string[]} | undefined} stored */
  async #sendBatch(ring, stored) {
    const batch = { records: stored?.records ?? this.#take(), isDone: false };
    // What is stored stays there until it has arrived, so a page that ends meanwhile need not save it.
    if (!stored) this.#flight = batch;
    this.#mayResend = false;
    const outcome = await this.#deliver(batch);
    this.#flight = undefined;
    if (batch.isDone) return;
    if (outcome === "sent") this.#sent += batch.records.length;
    if (outcome === "refused") this.#drop("refused", batch.records.length);
    // After a failure it stays as it is: the browser may have come online meanwhile.
    this.#mayResend ||= outcome !== "failed";
    if (outcome === "failed" && !stored) this.#store(batch.records);
    if (outcome !== "failed" && stored) ring.remove(stored.name);
  }

  /** Takes a batch from the queue, with a record of what was dropped before. */
  #take() {
    const records = takeRequest(this.#queue);
    const reasons = Object.entries(this.#untold);
    if (reasons.length > 0) {
      const counts = Object.fromEntries(reasons.map(([reason, count]) => [`logger.dropped.${reason}`, count]));
      const record = this.#record("WARN", "the browser dropped logs", counts);
      if (record) records.push(JSON.stringify(record));
      this.#untold = {};
    }
    this.#queueSize = this.#queue.reduce((sum, record) => sum + record.length, 0);
    if (this.#sendBy > -Infinity) this.#sendBy = this.#environment.now() + this.#options.interval;
    return records;
  }

  /** Sends a batch, again if need be. @param {Batch} batch @returns {Promise<"sent" | "refused" | "failed">} */
  async #deliver(batch) {
    const environment = this.#environment;
    for (let attempt = 0; environment.isOnline(); attempt++) {
      const answer = await this.#attempt(bodyOf(batch.records));
      if (answer.status >= 200 && answer.status < 300) return "sent";
      const isTemporary = answer.status === 0 || answer.status === 408 || answer.status === 429 || answer.status >= 500;
      if (!isTemporary) return "refused";
      if (attempt >= this.#options.maxRetries || batch.isDone) break;
      const asked = Math.min(Number(answer.retryAfter) || 0, 60) * 1000;
      const backoff = Math.min(BACKOFF.first * 2 ** attempt, BACKOFF.most) * (0.5 + environment.random(1)[0] / 512);
      await new Promise((resolve) => environment.setTimeout(() => resolve(undefined), Math.max(asked, backoff)));
      if (batch.isDone) break;
    }
    return "failed";
  }

  /** @param {string} body @returns {Promise<{status: number, retryAfter?: string | null}>} */
  async #attempt(body) {
    try {
      return await this.#quietly(() => this.#environment.send(this.#url, body));
    } catch {
      return { status: 0 };
    }
  }

  /** @param {string} body @returns {boolean} Whether the browser has taken it. */
  #beacon(body) {
    try {
      return this.#environment.isOnline() && this.#environment.beacon(this.#url, body);
    } catch {
      return false;
    }
  }

  /** A `fetch` that the page has wrapped to log every request must not log the logger's own. @template T @param {() => T} action */
  #quietly(action) {
    const wasBusy = this.#isBusy;
    this.#isBusy = true;
    try {
      return action();
    } finally {
      this.#isBusy = wasBusy;
    }
  }

  /** @param {string[]} records */
  #store(records) {
    const time = this.#environment.now().toString(36).padStart(10, "0");
    this.#ring?.put(`${time}:${this.#id(8)}`, records);
  }

  /** The page may end now: beacons take what waits and what is under way; what they don't take is stored. */
  #leave() {
    this.#guard(() => {
      for (const key of [...this.#windows.keys()]) this.#end(key);
      const waiting = [...(this.#flight?.records ?? []), ...this.#queue];
      if (this.#flight) this.#flight.isDone = true;
      [this.#queue, this.#queueSize, this.#flight] = [[], 0, undefined];
      while (waiting.length > 0) {
        const records = takeRequest(waiting);
        if (this.#beacon(bodyOf(records))) this.#sent += records.length;
        else this.#store(records);
      }
      this.#schedule();
    });
  }
}

// ---- The browser ----

/** @returns {Environment} */
function browser() {
  const { document, navigator, location } = globalThis;
  return {
    now: () => Date.now(),
    setTimeout: (action, delay) => globalThis.setTimeout(action, delay),
    clearTimeout: (timer) => globalThis.clearTimeout(/** @type {number | undefined} */ (timer)),
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    // A plain text without further headers is sent to other origins without asking first.
    send: async (url, body) => {
      const headers = { "Content-Type": "text/plain;charset=UTF-8" };
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT);
      const answer = await fetch(url, { method: "POST", body, headers, credentials: "omit", signal });
      return { status: answer.status, retryAfter: answer.headers.get("Retry-After") };
    },
    beacon: (url, body) => navigator.sendBeacon(url, body),
    isOnline: () => navigator.onLine !== false,
    storage: storeOf("localStorage"),
    session: storeOf("sessionStorage"),
    listen: (name, action) => (name === "visibilitychange" ? document : globalThis).addEventListener(name, action),
    path: () => location.pathname,
  };
}

/** The browser's store, or one in memory where pages are not allowed one. @param {"localStorage" | "sessionStorage"} name @returns {Store} */
function storeOf(name) {
  try {
    const store = globalThis[name];
    if (store) return store;
  } catch { /* Reading the name alone throws where storage is forbidden. */ }
  const entries = new Map();
  return {
    get length() { return entries.size; },
    key: (at) => [...entries.keys()][at] ?? null,
    getItem: (key) => entries.get(key) ?? null,
    setItem: (key, text) => void entries.set(key, text),
    removeItem: (key) => void entries.delete(key),
  };
}

// ---- What waits in localStorage ----

/** Batches by age, each an entry of its own, so that pages of one origin do not overwrite each other's. */
class Ring {
  /** @param {Store} store @param {string} prefix @param {(reason: string, count: number) => void} drop */
  constructor(store, prefix, drop) {
    this.store = store;
    this.prefix = `${prefix}:batch:`;
    this.drop = drop;
  }

  /** @param {string} name */
  remove(name) {
    this.store.removeItem(name);
  }

  /** Oldest first. @returns {string[]} */
  names() {
    const names = Array.from({ length: this.store.length }, (_, at) => this.store.key(at) ?? "");
    return names.filter((name) => name.startsWith(this.prefix)).sort();
  }

  /** @returns {{name: string, records: string[]} | undefined} */
  first() {
    for (const name of this.names()) {
      try {
        const records = JSON.parse(this.store.getItem(name) ?? "");
        if (Array.isArray(records)) return { name, records: records.map((record) => JSON.stringify(record)) };
      } catch { /* What can't be read is removed below. */ }
      this.remove(name);
    }
    return undefined;
  }

  /** @param {string} name What parts it from other batches of the same time. @param {string[]} records */
  put(name, records) {
    const text = bodyOf(records);
    const names = this.names();
    let size = names.reduce((sum, name) => sum + (this.store.getItem(name)?.length ?? 0), text.length);
    for (;;) {
      const isFull = names.length >= LIMITS.storedBatches || size > LIMITS.storedSize;
      try {
        if (!isFull) return this.store.setItem(this.prefix + name, text);
      } catch { /* The browser's own quota is used up: room is made below. */ }
      const oldest = names.shift();
      if (oldest === undefined) return this.drop("storage", records.length);
      const lost = this.store.getItem(oldest) ?? "[]";
      size -= lost.length;
      this.remove(oldest);
      this.drop("storage", lost.split('"log.record.uid"').length - 1);
    }
  }
}

const bodyOf = (/** @type {string[]} */ records) => `[${records.join(",")}]`;
const bytesOf = (/** @type {string} */ text) => new TextEncoder().encode(text).length;

/** Takes records from the front, as many as a request may hold. @param {string[]} records */
function takeRequest(records) {
  let [count, size] = [0, 2];
  while (count < Math.min(records.length, LIMITS.requestRecords)) {
    size += bytesOf(records[count]) + 1;
    if (size > LIMITS.request && count > 0) break;
    count += 1;
  }
  return records.splice(0, count);
}
