// Finds the calls of tools in what a model says: <tool_call>{"name": ..., "arguments": ...}</tool_call>
// as Hermes, Qwen and those after them write it. Whatever is no such call stays text.
import { randomHex } from './shapes.js';

/** @import { ToolCall } from './types.js' */

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/** @typedef {{ text: string, calls: ToolCall[] }} Found */

/** The calls of one choice, whose text comes in pieces. */
export class ToolCalls {
  #pending = '';
  #inside = false;

  /** @param {string} text @returns {Found} what is certain */
  push(text) {
    this.#pending += text;
    /** @type {Found} */
    const found = { text: '', calls: [] };
    for (;;) {
      const mark = this.#inside ? CLOSE : OPEN;
      const at = this.#pending.indexOf(mark);
      if (at < 0) break;
      this.#take(found, this.#pending.slice(0, at), mark);
      this.#pending = this.#pending.slice(at + mark.length);
      this.#inside = !this.#inside;
    }
    if (!this.#inside) {
      const held = startOf(OPEN, this.#pending);
      found.text += this.#pending.slice(0, this.#pending.length - held);
      this.#pending = this.#pending.slice(this.#pending.length - held);
    }
    return found;
  }

  /** What is left at the end: some models leave the last mark away. @returns {Found} */
  end() {
    /** @type {Found} */
    const found = { text: '', calls: [] };
    this.#take(found, this.#pending, '');
    this.#pending = '';
    return found;
  }

  /** @param {Found} found @param {string} text up to a mark @param {string} mark */
  #take(found, text, mark) {
    const call = this.#inside ? callOf(text) : undefined;
    if (call) found.calls.push(call);
    else found.text += this.#inside ? OPEN + text + mark : text;
  }
}

/** How much of the end of a text may be the start of a mark. @param {string} mark @param {string} text */
function startOf(mark, text) {
  let length = Math.min(mark.length - 1, text.length);
  while (!text.endsWith(mark.slice(0, length))) length--;
  return length;
}

/** @param {string} text @returns {ToolCall | undefined} */
function callOf(text) {
  try {
    const { name, arguments: given = {} } = JSON.parse(text);
    if (typeof name !== 'string') return undefined;
    return { id: `call_${randomHex()}`, type: 'function', function: { name, arguments: written(given) } };
  } catch {
    return undefined;
  }
}

/** @param {unknown} given */
const written = (given) => (typeof given === 'string' ? given : JSON.stringify(given));
