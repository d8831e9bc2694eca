// Control tokens written in a caller's texts must stay text, and a template's own must not. To tell
// them apart in what a template made of both, characters of the caller's are exchanged for private
// ones before, and exchanged back after control tokens were looked for.

const FIRST_PRIVATE = 0xe000;
const LAST_PRIVATE = 0xf8ff;
const WORD = /^[\w.-]*$/;

/** Those that a template may look at or escape; no control token is made of them alone. */
const COMMON = /[\s"'\\]/;

export class Shadow {
  /** @type {Map<string, string>} */ #hidden = new Map();
  #controls;
  #search;

  /**
   * @param {string[]} controls the texts of all control tokens
   * @param {Iterable<string>} texts all that will be part of the result: their characters are not
   *   used to stand for others
   */
  constructor(controls, texts) {
    this.#controls = controls;
    this.#search = anyOf(controls);
    const taken = new Set(controls.join(''));
    for (const text of texts) for (const each of text.match(/[\ue000-\uf8ff]/g) ?? []) taken.add(each);
    let code = FIRST_PRIVATE;
    for (const each of new Set(controls.join('').split(''))) {
      if (COMMON.test(each)) continue;
      while (taken.has(String.fromCharCode(code))) code++;
      if (code > LAST_PRIVATE)
        throw new Error('the control tokens and texts use more different characters than can be told apart');
      this.#hidden.set(each, String.fromCharCode(code++));
    }
  }

  /** What stands for what: two texts of the same length. */
  get table() {
    return { hidden: [...this.#hidden.values()].join(''), shown: [...this.#hidden.keys()].join('') };
  }

  /** Hides every character that could be part of a control token. @param {string} text */
  all(text) {
    return Array.from({ length: text.length }, (_, i) => this.#hidden.get(text[i]) ?? text[i]).join('');
  }

  /**
   * Hides control tokens, and at both ends what could be a part of one that stands there in two
   * texts.
   * @param {string} text
   */
  some(text) {
    const hidden = this.#search ? text.replace(this.#search, (found) => this.all(found)) : text;
    let tail = 0;
    let head = 0;
    const end = hidden.trimEnd();
    const start = hidden.trimStart();
    for (const control of this.#controls)
      for (let n = 1; n < control.length; n++) {
        if (n > tail && end.endsWith(control.slice(0, n))) tail = n;
        if (n > head && start.startsWith(control.slice(-n))) head = n;
      }
    const from = hidden.length - start.length;
    const to = end.length - tail;
    if (head === 0 && tail === 0) return hidden;
    if (from + head >= to) return this.all(hidden);
    return (
      hidden.slice(0, from) +
      this.all(hidden.slice(from, from + head)) +
      hidden.slice(from + head, to) +
      this.all(hidden.slice(to, end.length)) +
      hidden.slice(end.length)
    );
  }

  /**
   * A value with its texts hidden. Words by which templates choose (names of keys, types, roles)
   * stay as they are.
   * @param {any} value
   * @param {'all' | 'some'} how
   * @returns {any}
   */
  value(value, how) {
    if (typeof value === 'string') return this[how](value);
    if (Array.isArray(value)) return value.map((each) => this.value(each, how));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [
        this.#plainWord(key) ? key : this[how](key),
        (key === 'role' || key === 'type') && this.#plainWord(each) ? each : this.value(each, how),
      ]),
    );
  }

  /** @param {unknown} text */
  #plainWord(text) {
    return typeof text === 'string' && WORD.test(text) && text.search(this.#search ?? /$^/) < 0;
  }
}

/**
 * Finds the longest of some texts wherever one stands; none if there are no texts.
 * @param {string[]} texts
 */
export function anyOf(texts) {
  if (texts.length === 0) return undefined;
  const longestFirst = [...texts].sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'g');
}

/**
 * Exchanges back.
 * @param {string} text
 * @param {{ hidden: string, shown: string }} table
 */
export function reveal(text, { hidden, shown }) {
  const back = new Map(Array.from(hidden, (each, i) => [each, shown[i]]));
  return text.replace(/[\ue000-\uf8ff]/g, (each) => back.get(each) ?? each);
}
