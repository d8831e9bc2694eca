// From a conversation to tokens, on the engine's side: the model's template and its control tokens.
import { NoTemplateError } from '../error.js';
import { AbortError, UnsupportedModelError } from '../generated.js';
import { findValue, textValue } from '../gguf.js';
import { anyOf, reveal } from './shadow.js';

/** @import { Core, Pointer } from '../core.js' */
/** @import { Watch } from '../engine.js' */
/** @import { Tokenizer } from '../tokenizer.js' */
/** @import { Conversation } from './messages.js' */
/** @import { Rendered, RenderRequest } from './template.js' */

/** Kinds of tokenizer.ggml.token_type. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER = 4;
const MOST_CONTROL = 1 << 20; // characters of all control tokens

const TEMPLATE = 'tokenizer.chat_template';

/** Whether the model's file has a template. @param {Core} core @param {Pointer} gguf */
export function hasTemplate(core, gguf) {
  return findValue(core, gguf, TEMPLATE) !== undefined;
}

export class ChatPrompt {
  #core;
  #gguf;
  #tokenizer;
  /** @type {Map<string, number>} */ #tokens = new Map();
  /** @type {Map<number, boolean>} */ #strips = new Map();
  #search;
  #controls;
  #render;

  /**
   * @param {Core} core
   * @param {Pointer} gguf
   * @param {Tokenizer} tokenizer
   * @param {(request: RenderRequest) => Promise<Rendered>} render runs a template
   */
  constructor(core, gguf, tokenizer, render) {
    this.#render = render;
    this.#core = core;
    this.#gguf = gguf;
    this.#tokenizer = tokenizer;
    const kinds = tokenKinds(core, gguf);
    const texts = (/** @type {number[]} */ ...wanted) => {
      const tokens = [...kinds.keys()].filter((token) => wanted.includes(kinds[token]));
      const all = tokenizer.tokenTexts({ tokens }).map((text, i) => ({ text, token: tokens[i] }));
      return all.filter(({ text }) => text !== '');
    };
    const controls = texts(UNKNOWN, CONTROL);
    for (const { text, token } of controls.reverse()) this.#tokens.set(text, token);
    this.#controls = [...this.#tokens.keys()];
    if (this.#controls.join('').length > MOST_CONTROL)
      throw new UnsupportedModelError(`control tokens of more than ${MOST_CONTROL} characters`);
    // User-defined tokens are found in plain text too; here they only keep others from beginning
    // within them.
    this.#search = anyOf([...this.#controls, ...texts(USER).map(({ text }) => text)]);
  }

  /**
   * @param {Conversation} conversation
   * @param {Watch} watch
   * @returns {Promise<number[]>}
   */
  async tokens(conversation, watch) {
    const rendered = this.#render(this.#request(conversation));
    const aborted = new Promise((resolve, reject) => {
      watch.onAbort = () => reject(new AbortError('aborted while the chat template ran'));
    });
    return this.#tokensOf(await Promise.race([rendered, aborted]));
  }

  /** @param {Conversation} conversation @returns {RenderRequest} */
  #request({ template, given }) {
    const { bos, eos, unknown } = this.#tokenizer.info;
    const textOf = (/** @type {number | undefined} */ token) =>
      token === undefined ? '' : this.#tokenizer.tokenTexts({ tokens: [token] })[0];
    return {
      source: template ?? this.#template(given.tools !== null),
      controls: this.#controls,
      given,
      own: { bos_token: textOf(bos), eos_token: textOf(eos), unk_token: textOf(unknown) },
    };
  }

  /** @param {boolean} tools */
  #template(tools) {
    const named = tools ? textValue(this.#core, this.#gguf, `${TEMPLATE}.tool_use`) : undefined;
    const template = named ?? textValue(this.#core, this.#gguf, TEMPLATE);
    if (template === undefined)
      throw new NoTemplateError(
        'the model has no chat template (tokenizer.chat_template): it was made to continue texts. ' +
          'Use generate, or give a chatTemplate',
      );
    return template;
  }

  /** The tokens of what a template gave. @param {Rendered} rendered @returns {number[]} */
  #tokensOf({ text, ...table }) {
    const tokenizer = this.#tokenizer;
    const tokens = [];
    const plain = (/** @type {number} */ from, /** @type {number} */ to) => {
      const part = reveal(text.slice(from, to), table);
      for (const token of tokenizer.tokenize({ text: part, bos: false, special: false }))
        tokens.push(token);
    };
    let done = 0;
    for (const { 0: found, index } of this.#search ? text.matchAll(this.#search) : []) {
      const token = this.#tokens.get(found);
      if (token === undefined) continue;
      plain(done, index);
      tokens.push(token);
      done = index + found.length;
      if (this.#takesSpace(token, found)) done += /^[ \t-\r]*/.exec(text.slice(done))?.[0].length ?? 0;
    }
    plain(done, text.length);
    const { bos, addsBos } = tokenizer.info;
    if (addsBos && bos !== undefined && tokens[0] !== bos) tokens.unshift(bos);
    return tokens;
  }

  /** Whether a token takes the white space behind it. @param {number} token @param {string} text */
  #takesSpace(token, text) {
    let takes = this.#strips.get(token);
    if (takes === undefined) {
      const alone = this.#tokenizer.tokenize({ text: `${text} `, bos: false, special: true });
      this.#strips.set(token, (takes = alone.length === 1));
    }
    return takes;
  }
}

/** The kind of each token; none if the file does not say. @param {Core} core @param {Pointer} gguf */
function tokenKinds(core, gguf) {
  const found = findValue(core, gguf, 'tokenizer.ggml.token_type');
  if (!found) return new Int32Array(0);
  const { data, count } = found.record;
  return new Int32Array(core.bytes.slice(data, data + count * 4).buffer);
}
