// A headless Chromium, driven over its DevTools protocol through two pipes, so that no library and no port is needed.
// Run by itself, it unpacks the browser in the folder that is its argument.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { brotliDecompressSync } = require("node:zlib");

/** Unpacks the browser of the npm package `@sparticuz/chromium` in the folder where it was installed. */
function unpack(folder) {
  const packed = path.join(folder, "node_modules/@sparticuz/chromium/bin");
  const inflate = (name) => brotliDecompressSync(readFileSync(path.join(packed, name)));
  writeFileSync(path.join(folder, "chromium"), inflate("chromium.br"), { mode: 0o755 });
  // Libraries that a machine without a desktop lacks.
  execFileSync("tar", ["-x", "-C", folder], { input: inflate("al2023.tar.br") });
}

class Chromium {
  #process;
  #waiting = new Map();
  #listeners = new Set();
  #last = 0;

  /** Starts the browser of a folder, with a profile that is thrown away. */
  constructor(folder) {
    this.profile = mkdtempSync(path.join(folder, "profile-"));
    const switches = [
      "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
      "--remote-debugging-pipe", `--user-data-dir=${this.profile}`, "about:blank",
    ];
    const env = { ...process.env, LD_LIBRARY_PATH: path.join(folder, "lib") };
    const stdio = ["ignore", "ignore", "pipe", "pipe", "pipe"];
    this.#process = spawn(path.join(folder, "chromium"), switches, { stdio, env });
    let said = "";
    this.#process.stderr.on("data", (data) => { said = (said + data).slice(-4000); });
    this.ended = new Promise((resolve) => this.#process.on("exit", resolve));
    this.ended.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`Chromium ended: ${said}`));
    });
    let rest = "";
    this.#process.stdio[4].on("data", (data) => {
      const messages = (rest + data).split("\0");
      rest = messages.pop();
      for (const message of messages) this.#receive(JSON.parse(message));
    });
  }

  #receive(message) {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error) waiting?.reject(new Error(message.error.message));
    else waiting?.resolve(message.result);
    if (message.method) for (const listener of this.#listeners) listener(message);
  }

  /** Calls a method of the protocol. */
  call(method, params = {}, sessionId = undefined) {
    const id = (this.#last += 1);
    this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** The next event of a name. */
  event(name, sessionId) {
    return new Promise((resolve) => {
      const listener = (message) => {
        if (message.method !== name || message.sessionId !== sessionId) return;
        this.#listeners.delete(listener);
        resolve(message.params);
      };
      this.#listeners.add(listener);
    });
  }

  /** Opens a page and waits until it is loaded. */
  async open(url) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const call = (method, params) => this.call(method, params, sessionId);
    await Promise.all([call("Page.enable"), call("Network.enable"), call("Runtime.enable")]);
    const loaded = this.event("Page.loadEventFired", sessionId);
    await call("Page.navigate", { url });
    await loaded;
    return {
      /** The value of an expression, once it is there. */
      evaluate: async (expression) => {
        const options = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await call("Runtime.evaluate", options);
        if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
        return result.value;
      },
      setOnline: (isOnline) => call("Network.emulateNetworkConditions", {
        offline: !isOnline, latency: 0, downloadThroughput: -1, uploadThroughput: -1,
      }),
      close: () => this.call("Target.closeTarget", { targetId }),
    };
  }

  /** Ends the browser and removes its profile. */
  async end() {
    await this.call("Browser.close").catch(() => {});
    await this.ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

module.exports = { Chromium };

if (require.main === module) unpack(process.argv[2]);
