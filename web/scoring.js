// How well a model predicts a text, by the convention of llama.cpp: the text is tokenized as a
// whole and cut into chunks of the context's length that do not overlap; the first token of each is
// replaced by BOS if the model wants one; the second half of each chunk is scored. It runs in steps,
// between which the engine looks at its messages, and keeps the logits of one step at most.
import { ArgumentError } from './generated.js';
import { Session } from './session.js';

/** @import { Loaded } from './session.js' */
/** @import { Tokenizer } from './tokenizer.js' */
/** @import { Machine } from './variants.js' */

const STANDARD_CONTEXT = 512;
const LEAST_CONTEXT = 4;
const LOGIT_BYTES = 4 << 20; // of a step

/**
 * @typedef {object} ScoringArgs
 * @property {string} text
 * @property {number} context tokens of a chunk; 0: 512, or half of a text that is too short for it
 * @property {number} chunks at most so many; 0: all
 */

/** A text's place in a model: each step moves it on. */
export class Scoring {
  #session;
  #at = 0; // tokens that were read
  #end;

  /**
   * @param {Machine & Loaded} loaded
   * @param {Tokenizer} tokenizer
   * @param {ScoringArgs} args
   */
  constructor(loaded, tokenizer, { text, context: wanted, chunks }) {
    const { bos, addsBos } = tokenizer.info;
    // llama.cpp drops one newline at a file's end.
    const trimmed = text.endsWith('\n') ? text.slice(0, -1) : text;
    const tokens = tokenizer.tokenize({ text: trimmed, bos: true, special: false });
    const context = wanted || Math.min(STANDARD_CONTEXT, Math.floor(tokens.length / 2));
    if (context < LEAST_CONTEXT || tokens.length < 2 * context)
      throw new ArgumentError(
        `the text has ${tokens.length} tokens and a context of ${context} takes at least ` +
          `${2 * Math.max(context, LEAST_CONTEXT)}: give a longer text or a smaller context`,
      );
    const all = Math.floor(tokens.length / context);
    const count = Math.min(chunks || all, all);
    this.context = context;
    this.#end = count * context;
    this.tokens = tokens.slice(0, this.#end);
    if (addsBos && bos !== undefined)
      for (let at = 0; at < this.#end; at += context) this.tokens[at] = bos;
    this.chunks = count;
    this.loaded = loaded;
    /** Rows of a step that are scored at most. */
    this.mostRows = Math.max(1, Math.floor(LOGIT_BYTES / (4 * loaded.vocabulary)));
    this.#session = new Session(loaded, context, Math.min(this.mostRows, Session.BATCH));
  }

  /** Tokens that were read. */
  get position() {
    return this.#at;
  }

  get done() {
    return this.#at === this.#end;
  }

  /**
   * Reads at most `most` tokens of one chunk.
   * @param {number} most
   * @returns {number[]} the tokens that followed those whose logits are there now, in order
   */
  step(most) {
    const start = this.#at % this.context;
    if (start === 0) this.#session.clear();
    const scored = Math.floor(this.context / 2);
    const limit = start < scored ? scored - start : Math.min(this.context - start, this.mostRows);
    const count = Math.min(most, limit, Session.BATCH);
    const from = this.#at;
    const wanted = start >= scored;
    this.#session.step(this.tokens.slice(from, from + count), wanted ? 'all' : 'none');
    this.#at += count;
    // What follows a chunk's last token is not the model's to guess.
    const last = start + count === this.context ? 1 : 0;
    return wanted ? this.tokens.slice(from + 1, from + count + 1 - last) : [];
  }

  /** A copy of the logits of a row of the last step. @param {number} row */
  logits(row) {
    return this.#session.logits(row, this.loaded.vocabulary);
  }

  /** Minus the logarithm of a token's probability. @param {number} row @param {number} token */
  loss(row, token) {
    const { core, isa, vocabulary } = this.loaded;
    const at = core.call('hb_session_logits', this.#session.pointer, row);
    const [logit] = core.floats(at + 4 * token, 1);
    return core.call('hb_wasm_log_sum', isa, at, vocabulary) - logit;
  }

  end() {
    this.#session.destroy();
  }
}

/** Sums from which a perplexity and its standard error follow. */
export class Losses {
  #sum = 0;
  #squares = 0;
  count = 0;

  /** @param {number} loss */
  add(loss) {
    this.#sum += loss;
    this.#squares += loss * loss;
    this.count++;
  }

  get perplexity() {
    return Math.exp(this.#sum / this.count);
  }

  get standardError() {
    const mean = this.#sum / this.count;
    const variance = this.#squares / this.count - mean * mean;
    if (!(variance > 0) || this.count < 2) return 0;
    return this.perplexity * Math.sqrt(variance / (this.count - 1));
  }
}

/** How many tokens a step reads, so that it takes about as long as a person does not notice. */
export class Stride {
  static #MS = 60;
  #most = 32;

  /** Runs one step. @template T @param {(tokens: number) => T} step @returns {T} */
  run(step) {
    const begun = performance.now();
    const value = step(this.#most);
    const passed = performance.now() - begun;
    if (passed < Stride.#MS / 2) this.#most = Math.min(this.#most * 2, Session.BATCH);
    else if (passed > Stride.#MS * 2) this.#most = Math.max(this.#most >> 1, 1);
    return value;
  }
}
