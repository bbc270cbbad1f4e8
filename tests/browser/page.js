// Opens examples/browser-logger in a real browser and uses it as people do; see tests/e2e_browser.rs.
//
// Argument: the folder of the browser. Says the origin of the page on its first line; is told the address of watershed on
// the first line of its input; then says in JSON what was sent. The page sends through a tap, so that it is known what has
// arrived when.
"use strict";

const { readFileSync } = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const readline = require("node:readline");

const { Chromium } = require("./chromium.js");

const EXAMPLE = path.join(__dirname, "../../examples/browser-logger");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

function listen(handler) {
  const server = http.createServer(handler);
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const addressOf = (server) => `http://127.0.0.1:${server.address().port}`;

/** The files of the example. */
function serve(request, response) {
  const name = new URL(request.url, "http://page").pathname.replace(/^\/$/, "/index.html");
  const type = TYPES[path.extname(name)];
  if (!type) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": type }).end(readFileSync(path.join(EXAMPLE, path.basename(name))));
}

/** Passes requests on to watershed and tells of each that was answered. */
class Tap {
  requests = [];
  /** Whether the next answer gets lost on its way back. */
  losesAnswer = false;
  #waiting = [];

  constructor(target) {
    this.target = target;
  }

  async open() {
    this.server = await listen((request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => this.#pass(request, Buffer.concat(parts), response));
    });
  }

  #pass(request, body, response) {
    const { method, headers } = request;
    const onward = http.request(`${this.target}${request.url}`, { method, headers }, (answer) => {
      if (this.losesAnswer) {
        answer.resume();
        response.destroy();
      } else {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      }
      this.losesAnswer = false;
      const records = method === "POST" ? JSON.parse(body) : [];
      this.requests.push({ method, status: answer.statusCode, records });
      for (const check of this.#waiting) check();
    });
    onward.end(body);
  }

  /** Waits until so many requests with a record of this message have been answered. */
  arrived(message, times = 1) {
    const hasIt = ({ records }) => records.some((record) => record.message === message);
    return new Promise((resolve) => {
      const check = () => this.requests.filter(hasIt).length >= times && resolve();
      this.#waiting.push(check);
      check();
    });
  }
}

async function use(page, tap) {
  const click = (id) => page.evaluate(`document.getElementById("${id}").click()`);
  // The module runs before the page counts as loaded; what it awaits does not.
  await page.evaluate("new Promise((done) => { const look = () => window.log ? done() : setTimeout(look, 5); look(); })");
  await page.evaluate('for (let count = 0; count < 12; count += 1) log.info(`record ${count}`)');
  await tap.arrived("record 9");
  const atOnce = tap.requests.at(-1).records.length;
  await page.evaluate("log.flush()");
  await tap.arrived("record 11");
  const later = tap.requests.at(-1).records.length;
  tap.losesAnswer = true;
  await page.evaluate('log.info("sent twice"), log.flush()');
  await tap.arrived("sent twice", 2);
  await click("many");
  await click("secret");
  await click("request");
  await click("fail");
  await page.evaluate("log.flush()");
  await page.setOnline(false);
  await page.evaluate('log.info("logged offline"), log.flush()');
  const stored = await page.evaluate("Object.entries(localStorage).filter(([name]) => name.includes(':batch:')).length");
  await page.setOnline(true);
  await tap.arrived("logged offline");
  await page.evaluate('log.info("goodbye")');
  await page.close();
  await tap.arrived("goodbye");
  return { atOnce, later, stored, requests: tap.requests };
}

async function main() {
  const site = await listen(serve);
  process.stdout.write(`${addressOf(site)}\n`);
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const tap = new Tap((await lines.next()).value);
  await tap.open();
  const chromium = new Chromium(process.argv[2]);
  const page = await chromium.open(`${addressOf(site)}/?endpoint=${encodeURIComponent(`${addressOf(tap.server)}/logs`)}`);
  const seen = await use(page, tap);
  await chromium.end();
  process.stdout.write(`${JSON.stringify(seen)}\n`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
