// A model's tokenizer.
import {
  ArgumentError,
  DETOKENIZE_SPECIAL,
  NO_TOKEN,
  TOKENIZE_BOS,
  TOKENIZE_SPECIAL,
} from './generated.js';

/** @import { Core, Pointer } from './core.js' */

export class Tokenizer {
  #core;
  #pointer;
  #info;

  /** @param {Core} core @param {Pointer} pointer */
  constructor(core, pointer) {
    this.#core = core;
    this.#pointer = pointer;
    this.#info = core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_tokenizer_info'));
      core.call('hb_tokenizer_get_info', pointer, at);
      return core.read('hb_tokenizer_info', at);
    });
  }

  get info() {
    const { bos, eos, unknown, add_bos, add_eos } = this.#info;
    const token = (/** @type {number} */ id) => (id === NO_TOKEN ? undefined : id);
    return {
      bos: token(bos),
      eos: token(eos),
      unknown: token(unknown),
      addsBos: add_bos !== 0,
      addsEos: add_eos !== 0,
    };
  }

  /**
   * @param {{ text: string, bos: boolean, special: boolean }} args
   * @returns {number[]}
   */
  tokenize({ text, bos, special }) {
    const core = this.#core;
    const flags = (bos ? TOKENIZE_BOS : 0) | (special ? TOKENIZE_SPECIAL : 0);
    return core.scope((allocate) => {
      const { data, length } = core.putText(allocate, text);
      // As a rule a token is a byte or more; BOS and EOS come on top.
      let capacity = length + 8;
      for (;;) {
        const out = allocate(capacity * 4);
        const count = allocate(4);
        core.check('hb_wasm_tokenize', this.#pointer, data, length, flags, out, capacity, count);
        const [found] = core.tokens(count, 1);
        if (found <= capacity) return core.tokens(out, found);
        capacity = found;
      }
    });
  }

  /**
   * A prompt's tokens; where there are none, one that a text can begin after.
   * @param {string} text
   * @param {boolean} special
   */
  promptTokens(text, special) {
    const tokens = this.tokenize({ text, bos: true, special });
    if (tokens.length > 0) return tokens;
    const first = this.info.bos ?? this.info.eos;
    if (first === undefined)
      throw new ArgumentError('the model has no token that begins a text: it needs a prompt');
    return [first];
  }

  /**
   * @param {{ tokens: number[], special: boolean }} args
   * @returns {string}
   */
  detokenize({ tokens, special }) {
    const core = this.#core;
    const flags = special ? DETOKENIZE_SPECIAL : 0;
    const capacity = this.#info.longest_token + 16;
    return core.scope((allocate) => {
      const state = allocate(core.sizeOf('hb_detokenizer'));
      core.write('hb_detokenizer', state, {});
      const out = allocate(capacity);
      const length = allocate(4);
      return [...tokens, NO_TOKEN]
        .map((token) => {
          const args = [this.#pointer, state, token, flags, out, capacity, length];
          if (core.call('hb_detokenize', ...args) !== 0)
            throw new ArgumentError(`token ${token} cannot be turned into text`);
          return core.text(out, core.tokens(length, 1)[0]);
        })
        .join('');
    });
  }

  /**
   * The tokens as the file has them.
   * @param {{ tokens: number[] }} args
   * @returns {string[]}
   */
  tokenTexts({ tokens }) {
    const core = this.#core;
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_string'));
      return tokens.map((token) => {
        core.call('hb_wasm_token_text', this.#pointer, token, at);
        return core.string(at);
      });
    });
  }
}
