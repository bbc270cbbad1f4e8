// @ts-check
/**
 * Hides secrets in what a page logs, by the rules that `watershed redact --export json` writes.
 *
 * Keys are found by their last words at any depth and in texts (`password=x`, `"apiKey": "x"`), values by regular expressions
 * and checks. The server's rules find more: JSON in JSON in JSON, percent-encoded pairs, bytes. It applies them again to
 * whatever arrives. `hash` can't be done here, as a page must not know the key; the rule file says `mask` instead.
 *
 * @typedef {{[key: string]: unknown}} Attributes
 */

/** How long a text may get, how deep attributes may be nested, how many entries an object or list may have. */
const LIMITS = { text: 8192, depth: 8, entries: 64 };
/** Keys longer than this are judged by their end, as on the server. */
const KEY_LENGTH = 128;

/** All matches; unlike `matchAll` without compiling the expression anew. @param {RegExp} expression @param {string} text */
function* matches(expression, text) {
  expression.lastIndex = 0;
  for (let match; (match = expression.exec(text)); ) {
    if (match[0] === "") expression.lastIndex += 1;
    yield match;
  }
}

const longest = (/** @type {string} */ text, /** @type {(part: string) => boolean} */ test) => {
  // An expression may take in too much behind a number; a number ends where no letter or digit follows.
  for (let end = text.length; end > 0; end--) {
    if (!/[\dA-Za-z]/.test(text[end] ?? "") && test(text.slice(0, end).replace(/%20|[ +-]/g, ""))) return end;
  }
  return 0;
};
const luhn = (/** @type {string} */ digits) => {
  const sum = [...digits].reverse().reduce((sum, digit, at) => {
    const value = Number(digit) * (at % 2 + 1);
    return sum + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
};
const mod97 = (/** @type {string} */ text) =>
  [...text.slice(4), ...text.slice(0, 4)].reduce((rest, letter) => Number(`${rest}${parseInt(letter, 36)}`) % 97, 0);
/** How much of a match is meant: the checks that an expression can't express. @type {{[name: string]: (text: string) => number}} */
const CHECKS = {
  luhn: (text) => longest(text, (digits) => /^[2-6]\d{12,18}$/.test(digits) && luhn(digits)),
  ssn: (text) => (/^(?!000|666|9)\d{3}.(?!00)\d\d.(?!0000)\d{4}$/.test(text) ? text.length : 0),
  iban: (text) => longest(text, (letters) => letters.length >= 15 && mod97(letters) === 1),
};
/** A key in text and what parts it from its value, then the value: in quotes, in escaped quotes, or bare, behind the scheme of a header. */
const KEY_IN_TEXT = /(?<![\p{L}\d_.-])([\p{L}\d_.-]+)\\*["']?\]?\s{0,8}(?:[:=]|%3D)\s{0,8}/giu;
const VALUE_IN_TEXT =
  /(?:(?:bearer|basic|token|apikey|negotiate|digest)\s+)?("(?:\\[^]|[^"\\])*|'(?:\\[^]|[^'\\])*|(\\+["'])[^]*?(?=(?<!\\)\2|$)|[^\s,;&"'{}[\]()<>\\]+)/iuy;

/** Hides what a rule file means. */
export class Redactor {
  /** @param {any} rules The rule file, or null. */
  constructor(rules) {
    const compile = (/** @type {any} */ rule, /** @type {string} */ more) => {
      try {
        return [{ ...rule, expression: new RegExp(rule.source, rule.flags.replace(/[gd]/g, "") + more) }];
      } catch {
        this.unusable += 1;
        return [];
      }
    };
    /** Rules that this browser does not understand. */
    this.unusable = 0;
    this.words = new Map((rules?.keys.words ?? []).map((/** @type {any} */ rule) => [rule.words, rule]));
    this.tails = new Set(rules?.keys.tails);
    this.keys = (rules?.keys.patterns ?? []).flatMap((/** @type {any} */ rule) => compile(rule, ""));
    this.values = (rules?.values ?? []).flatMap((/** @type {any} */ rule) => compile(rule, rule.source.includes("(?<secret>") ? "gd" : "g"));
    this.allowedValues = (rules?.allowed_values ?? []).flatMap((/** @type {any} */ rule) => compile(rule, ""));
    this.ignoredKeys = new Set(rules?.ignored_keys);
    this.allowedKeys = rules?.allowed_keys ? new Set(rules.allowed_keys) : null;
    this.isDoomed = false;
  }

  /**
   * A message and attributes without secrets, and within the limits; undefined if the rules drop the record.
   * @param {string} message
   * @param {Attributes} attributes
   */
  record(message, attributes) {
    this.isDoomed = false;
    const kept = Object.entries(attributes).filter(([key]) => this.allowedKeys?.has(key) ?? true);
    const redacted = { message: this.text(message).text, attributes: this.object(kept, 0) };
    return this.isDoomed ? undefined : redacted;
  }

  /** The rule for a key, found by its last words: `apiKey`, `X-API-Key`, `api_key_2`. @param {string} key */
  ruleOf(key) {
    if (this.ignoredKeys.has(key)) return undefined;
    const pattern = this.keys.find((/** @type {any} */ rule) => rule.expression.test(key));
    if (pattern) return pattern;
    const words = key.slice(-KEY_LENGTH).match(/\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\p{Lo}+|\d+/gu)?.map((word) => word.toLowerCase()) ?? [];
    do {
      for (let first = 0; first < words.length; first++) {
        const rule = this.words.get(words.slice(first).join(""));
        if (rule) return rule;
      }
    } while (words.length > 0 && (/^\d/.test(words.at(-1) ?? "") || this.tails.has(words.at(-1))) && words.pop());
    return undefined;
  }

  /** @param {any} rule @param {string} value */
  hide(rule, value) {
    this.isDoomed ||= rule.action === "drop_record";
    const last = value.slice(-4);
    const isPartial = rule.action === "partial" && [...value].length > 8 && /^[\p{L}\p{N}]+$/u.test(last);
    return isPartial ? rule.mask + last : rule.mask;
  }

  /** A text without secrets; `isDropped` if a rule removes the attribute that holds it. @param {string} text */
  text(text) {
    let isDropped = false;
    text = this.pairs(text.slice(0, 2 * LIMITS.text));
    for (const rule of this.values) {
      let [result, done] = ["", 0];
      for (const match of matches(rule.expression, text)) {
        const [start, stop] = match.indices?.groups?.secret ?? [match.index, match.index + match[0].length];
        const length = CHECKS[rule.check]?.(text.slice(start, stop)) ?? stop - start;
        const found = text.slice(start, start + length);
        if (found === "" || this.allowedValues.some((/** @type {any} */ allowed) => allowed.expression.test(found))) continue;
        result += text.slice(done, start) + this.hide(rule, found);
        done = start + length;
        isDropped ||= rule.action === "drop";
      }
      text = result + text.slice(done);
    }
    return { text: text.slice(0, LIMITS.text), isDropped };
  }

  /** Hides the values of keys in a text: `password=x`, `"apiKey": "x"`, `Authorization: Basic x`. @param {string} text */
  pairs(text) {
    let [result, done] = ["", 0];
    for (const match of matches(KEY_IN_TEXT, text)) {
      const at = match.index + match[0].length;
      const rule = match.index < done ? undefined : this.ruleOf(match[1]);
      VALUE_IN_TEXT.lastIndex = at;
      const [whole, value] = (rule && VALUE_IN_TEXT.exec(text)) ?? ["", ""];
      const quote = /^\\*["']/.exec(value)?.[0] ?? "";
      const secret = value.slice(quote.length);
      if (secret === "" || secret.startsWith(rule.mask) || /^(true|false|null|none)$/i.test(secret)) continue;
      result += text.slice(done, at) + quote + this.hide(rule, secret);
      done = at + whole.length;
    }
    return result + text.slice(done);
  }

  /** @param {[string, unknown][]} entries @param {number} depth */
  object(entries, depth) {
    /** @type {Attributes} */
    const result = {};
    for (const [key, value] of entries.slice(0, LIMITS.entries)) {
      const rule = value == null || typeof value === "boolean" ? undefined : this.ruleOf(key);
      const isText = typeof value === "string" || typeof value === "number";
      const kept = rule ? this.hide(rule, isText ? String(value) : "") : this.value(value, depth);
      if (kept !== undefined && rule?.action !== "drop") result[this.text(key).text] = kept;
    }
    return result;
  }

  /** Any value as JSON can hold it; undefined for what is left out. @param {any} value @param {number} depth @returns {unknown} */
  value(value, depth) {
    if (typeof value === "string" || typeof value === "bigint") {
      const { text, isDropped } = this.text(String(value));
      return isDropped ? undefined : text;
    }
    if (value === null || typeof value === "boolean" || typeof value === "number") return value;
    if (typeof value !== "object") return undefined;
    if (depth >= LIMITS.depth) return "[too deep]";
    if (value instanceof Error) return this.object(Object.entries(exception(value)), depth + 1);
    if (typeof value.toJSON === "function") return this.value(value.toJSON(), depth + 1);
    if (!Array.isArray(value)) return this.object(Object.entries(value), depth + 1);
    const items = value.slice(0, LIMITS.entries).map((item) => this.value(item, depth + 1));
    return items.filter((item) => item !== undefined);
  }
}

/** An error as attributes. @param {any} error */
export const exception = (error) => ({
  "exception.type": String(error?.name ?? typeof error),
  "exception.message": String(error?.message ?? error),
  ...(error?.stack && { "exception.stacktrace": String(error.stack) }),
});
