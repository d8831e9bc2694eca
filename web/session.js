// A text that a model reads or writes: steps over tokens, and the logits that they leave.
import { KV, OutOfMemoryError } from './generated.js';

/** @import { Core, Pointer } from './core.js' */

const BATCH = 256; // rows of a step at most
const LOGIT_BYTES = 16 << 20; // logits that a session keeps at once when all are wanted
const PIECES = { whole: [BATCH], pieces: [3, 1, 5, 2, 17, 4], single: [1] };

/**
 * A model and what computes it.
 * @typedef {object} Loaded
 * @property {Core} core
 * @property {Pointer} model
 * @property {Pointer} parallel
 * @property {'f16' | 'f32'} kv
 * @property {number} vocabulary
 */

/**
 * Calls `body` with the hb_session_options for a context of that length.
 * @template T
 * @param {Loaded} loaded
 * @param {number} contextLength 0: what the model was made for
 * @param {number} logitRows
 * @param {boolean} hidden whether hidden states are kept instead of logits
 * @param {(options: Pointer) => T} body
 */
function withOptions({ core, parallel, kv }, contextLength, logitRows, hidden, body) {
  return core.scope((allocate) => {
    const options = allocate(core.sizeOf('hb_session_options'));
    core.write('hb_session_options', options, {
      allocator: core.call('hb_wasm_allocator'),
      parallel,
      context_length: contextLength,
      batch: BATCH,
      logit_rows: logitRows,
      kv: KV[kv],
      hidden: hidden ? 1 : 0,
    });
    return body(options);
  });
}

/**
 * Bytes of memory that a session takes.
 * @param {Loaded} loaded
 * @param {number} contextLength
 */
export function sessionMemory(loaded, contextLength) {
  return withOptions(loaded, contextLength, 1, false, (options) =>
    Number(loaded.core.result64('hb_session_memory', loaded.model, options)),
  );
}

export class Session {
  static BATCH = BATCH;
  #core;
  /** The tokens that the cache holds, but for those of `append`. @type {number[]} */ #held = [];

  /**
   * @param {Loaded} loaded
   * @param {number} contextLength
   * @param {number} [logitRows]
   * @param {boolean} [hidden] keep hidden states instead of logits
   */
  constructor(loaded, contextLength, logitRows = 1, hidden = false) {
    this.#core = loaded.core;
    /** @type {Pointer} */
    this.pointer = withOptions(loaded, contextLength, logitRows, hidden, (options) =>
      loaded.core.result('hb_session_create', loaded.model, options),
    );
  }

  get contextLength() {
    return this.#core.call('hb_session_context_length', this.pointer);
  }

  /** The tokens that the cache holds. @returns {readonly number[]} */
  get held() {
    return this.#held;
  }

  /** Forgets everything. */
  clear() {
    this.rewind(0);
  }

  /** Forgets what was appended since a position. @param {number} position */
  rewind(position) {
    this.#core.call('hb_session_rewind', this.pointer, position);
    this.#held.length = Math.min(this.#held.length, position);
  }

  /**
   * Goes back to where the cache and `tokens` part. The last token is always computed anew, for its
   * logits. Keys and values of a token depend on what stands before it alone, so that the results
   * are those of a session that read everything.
   * @param {readonly number[]} tokens
   * @returns {number} how many of them the cache holds
   */
  rewindTo(tokens) {
    const held = this.#held;
    const most = Math.min(held.length, tokens.length - 1);
    let same = 0;
    while (same < most && held[same] === tokens[same]) same++;
    this.rewind(same);
    return same;
  }

  /** Tells of the tokens of a state that was restored. @param {number[]} tokens */
  holds(tokens) {
    this.#held = tokens;
  }

  /** Tells of a token that a generator appended. @param {number} token */
  grew(token) {
    this.#held.push(token);
  }

  /** Appends tokens that lie in memory and keeps the last one's logits; to be followed by `clear`,
   * since `held` does not know them. @param {Pointer} tokens @param {number} count */
  append(tokens, count) {
    this.#core.check('hb_session_append', this.pointer, tokens, count);
  }

  destroy() {
    if (!this.#core.dead) this.#core.call('hb_session_destroy', this.pointer);
  }

  /**
   * Appends tokens in one step.
   * @param {number[]} tokens
   * @param {'all' | 'last' | 'none'} logits which rows' are kept
   */
  step(tokens, logits) {
    const core = this.#core;
    const last = tokens.length - 1;
    const rows = tokens.map((token, i) => ({
      session: this.pointer,
      token,
      want_logits: logits === 'all' || (logits === 'last' && i === last) ? 1 : 0,
    }));
    core.scope((allocate) => {
      const at = core.putStructs(allocate, 'hb_row', rows);
      core.check('hb_step', this.pointer, at, rows.length);
    });
    this.#held.push(...tokens);
  }

  /** A row of the last step's hidden states. @param {number} index @param {number} width */
  hidden(index, width) {
    return this.#core.floats(this.#core.call('hb_session_hidden', this.pointer, index), width);
  }

  /** A row of the last step's logits. @param {number} index @param {number} vocabulary */
  logits(index, vocabulary) {
    const at = this.#core.call('hb_session_logits', this.pointer, index);
    return this.#core.floats(at, vocabulary);
  }
}

/**
 * The logits of every position of a text, step by step: each `next` computes one.
 * @param {Loaded} loaded
 * @param {number[]} tokens
 * @param {keyof typeof PIECES} split
 * @returns {Generator<void, Float32Array, void>} [tokens][vocabulary]
 */
export function* allLogits(loaded, tokens, split) {
  const { vocabulary } = loaded;
  const out = floats(tokens.length * vocabulary);
  if (tokens.length === 0) return out;
  const fitting = Math.max(1, Math.floor(LOGIT_BYTES / (4 * vocabulary)));
  const most = Math.min(BATCH, fitting, tokens.length);
  const session = new Session(loaded, tokens.length, most);
  try {
    const sizes = PIECES[split];
    for (let at = 0, turn = 0; at < tokens.length; turn++) {
      const piece = tokens.slice(at, at + Math.min(sizes[turn % sizes.length], most));
      session.step(piece, 'all');
      for (let i = 0; i < piece.length; i++, at++)
        out.set(session.logits(i, vocabulary), at * vocabulary);
      yield;
    }
    return out;
  } finally {
    session.destroy();
  }
}

/** @param {number} count */
function floats(count) {
  try {
    return new Float32Array(count);
  } catch (cause) {
    throw new OutOfMemoryError(`${count * 4} bytes of logits could not be had`, { cause });
  }
}
