// Does to each line of its input what a page does to a text before it is logged; see tests/e2e_browser.rs.
import { readFileSync } from "node:fs";

import { Redactor } from "../../examples/browser-logger/redactor.js";

const rules = new URL("../../examples/browser-logger/redaction.json", import.meta.url);
const redactor = new Redactor(JSON.parse(readFileSync(rules, "utf8")));
for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) console.log(redactor.text(line).text);
