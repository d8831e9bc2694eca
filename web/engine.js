// A model in its worker. Everything here may block for as long as one slice of a prompt or one token
// takes, and looks at its messages in between.
import {
  AbortError,
  ArgumentError,
  ContextFullError,
  DETOKENIZE_SPECIAL,
  FINISH,
  KV,
  NO_TOKEN,
  StateError,
  TOKENIZE_BOS,
  TOKENIZE_SPECIAL,
} from './generated.js';
import { describeGguf } from './gguf.js';
import { breathe } from './platform.js';
import { openSource, shardOf } from './sources.js';
import { makeMachine } from './variants.js';

/** @import { Source, Pull } from './sources.js' */
/** @import { Crew, Machine } from './variants.js' */
/** @import { Pointer } from './core.js' */

const STAGING = 1 << 20; // bytes of the one buffer through which weights enter the module
const PROGRESS_MS = 50;
const BATCH = 256; // rows of a step at most
const SLICE_MS = 60; // how long a slice of a prompt should take
const FIRST_SLICE = 32;
const LOGIT_BYTES = 16 << 20; // logits that a session keeps at once when all are wanted

/** @typedef {{ aborted: boolean }} Watch set from outside while a call runs */

/**
 * What the engine asks of its surroundings.
 * @typedef {object} Host
 * @property {Pull} pull
 * @property {(crew: Crew) => Promise<void>} startThreads
 */

/**
 * @typedef {object} EngineOptions
 * @property {number} [threads]
 * @property {number} [contextLength]
 * @property {'scalar' | 'simd128' | 'relaxed'} [isa]
 * @property {'f16' | 'f32'} [kv]
 */

/** @typedef {(event: any) => void} Emit */
/** @typedef {'stop' | 'length' | 'context' | 'abort'} FinishReason */

/** @type {Record<number, FinishReason>} */
const FINISH_REASONS = {
  [FINISH.STOP]: 'stop',
  [FINISH.LENGTH]: 'length',
  [FINISH.CONTEXT]: 'context',
};

export class Engine {
  #host;
  /** @type {Machine | undefined} */ #machine;
  /** @type {Pointer} */ #model = 0;
  /** @type {Pointer} */ #tokenizer = 0;
  /** @type {Pointer} */ #session = 0;
  /** @type {'f16' | 'f32'} */ #kv = 'f16';

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  get #core() {
    if (!this.#machine) throw new StateError('no model is loaded');
    return this.#machine.core;
  }

  // ---- Loading

  /**
   * @param {{ sources: Source[], options: EngineOptions }} args
   * @param {Emit} emit hears of progress
   */
  async load({ sources, options }, emit) {
    this.#kv = options.kv ?? 'f16';
    this.#machine = await makeMachine(options, this.#host.startThreads);
    const { core } = this.#machine;
    this.#model = await this.#feed(sources, false, emit);
    this.#tokenizer = core.call('hb_model_tokenizer', this.#model);
    this.#session = this.#createSession(options.contextLength ?? 0, 1);
    return this.#describe();
  }

  /**
   * Reads the header only.
   * @param {{ sources: Source[], options: EngineOptions }} args
   * @param {Emit} emit
   */
  async inspect({ sources, options }, emit) {
    this.#machine = await makeMachine({ ...options, threads: 1 }, this.#host.startThreads);
    const { core } = this.#machine;
    this.#model = await this.#feed(sources, true, emit);
    const contextLength = options.contextLength ?? this.#readInfo().context_length;
    return {
      ...this.#modelInfo(),
      contextLength,
      sessionBytes: this.#sessionMemory(contextLength, options.kv ?? 'f16'),
      ...describeGguf(core, core.call('hb_model_gguf', this.#model)),
    };
  }

  /**
   * Leads the bytes of all files through the loader.
   * @param {Source[]} sources
   * @param {boolean} headerOnly
   * @param {Emit} emit
   */
  async #feed(sources, headerOnly, emit) {
    const core = this.#core;
    const loader = core.scope((allocate) => {
      const options = allocate(core.sizeOf('hb_load_options'));
      core.write('hb_load_options', options, {
        allocator: core.call('hb_wasm_allocator'),
        isa: this.#machine?.isa,
        header_only: headerOnly ? 1 : 0,
      });
      return core.result('hb_loader_create', options);
    });
    const progress = new Progress(emit);
    const staging = core.allocate(STAGING);
    const buffer = () => core.bytes.subarray(staging, staging + STAGING);
    for (let shard = 0, count = 1; shard < count; shard++) {
      const source = sources[shard] ?? shardOf(sources[0], shard, count);
      const reader = await openSource(source, this.#host.pull);
      try {
        progress.begin(reader.size, sources.length);
        core.check('hb_loader_begin_file', loader, BigInt.asUintN(64, BigInt(reader.size ?? -1)));
        for (let n; (n = await reader.read(buffer)) > 0;) {
          core.check('hb_loader_feed', loader, staging, n);
          const state = this.#loaderState(loader);
          count = state.header_done ? state.shard_count : count;
          progress.advance(n);
          if (state.header_done && (headerOnly || state.file_offset >= state.file_size)) break;
        }
      } finally {
        await reader.close();
      }
      if (headerOnly) break;
    }
    const model = core.result('hb_loader_finish', loader);
    core.call('hb_loader_destroy', loader);
    core.release(staging, STAGING);
    progress.end();
    return model;
  }

  /** @param {Pointer} loader */
  #loaderState(loader) {
    const core = this.#core;
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_load_state'));
      core.call('hb_wasm_loader_state', loader, at);
      return core.read('hb_load_state', at);
    });
  }

  // ---- What is loaded

  #readInfo() {
    const core = this.#core;
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_model_info'));
      core.call('hb_model_get_info', this.#model, at);
      return core.read('hb_model_info', at);
    });
  }

  #modelInfo() {
    const info = this.#readInfo();
    return {
      /** @type {string} */ architecture: info.architecture,
      /** @type {string} */ name: info.name,
      /** @type {number} */ layers: info.layers,
      /** @type {number} */ width: info.width,
      /** @type {number} */ heads: info.heads,
      /** @type {number} */ kvHeads: info.kv_heads,
      /** @type {number} */ headSize: info.head_size,
      /** @type {number} */ feedForward: info.feed_forward,
      /** @type {number} */ vocabulary: info.vocabulary,
      /** @type {number} */ trainedContextLength: info.context_length,
      /** @type {number} */ parameters: info.parameters,
      /** @type {number} */ fileBytes: info.file_bytes,
      /** @type {number} */ weightBytes: info.weight_bytes,
    };
  }

  #describe() {
    const core = this.#core;
    const { variant, isa, threads, threadsReason, notes } = /** @type {Machine} */ (this.#machine);
    const contextLength = core.call('hb_session_context_length', this.#session);
    return {
      ...this.#modelInfo(),
      contextLength,
      sessionBytes: this.#sessionMemory(contextLength, this.#kv),
      memoryBytes: core.memory.buffer.byteLength,
      tokenizer: this.#tokenizerInfo(),
      variant,
      isa: core.cstring(core.call('hb_isa_name', isa)),
      kv: this.#kv,
      threads,
      threadsReason,
      notes,
    };
  }

  #tokenizerInfo() {
    const core = this.#core;
    if (!this.#tokenizer) return undefined;
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_tokenizer_info'));
      core.call('hb_tokenizer_get_info', this.#tokenizer, at);
      const { bos, eos, unknown, add_bos, add_eos } = core.read('hb_tokenizer_info', at);
      const token = (/** @type {number} */ id) => (id === NO_TOKEN ? undefined : id);
      return {
        bos: token(bos),
        eos: token(eos),
        unknown: token(unknown),
        addsBos: add_bos !== 0,
        addsEos: add_eos !== 0,
      };
    });
  }

  // ---- Tokenizing

  #requireTokenizer() {
    if (!this.#tokenizer) throw new StateError('this model came without a tokenizer');
    return this.#tokenizer;
  }

  /**
   * @param {{ text: string, bos: boolean, special: boolean }} args
   * @returns {number[]}
   */
  tokenize({ text, bos, special }) {
    const core = this.#core;
    const tokenizer = this.#requireTokenizer();
    return core.scope((allocate) => {
      const { data, length } = core.putText(allocate, text);
      const flags = (bos ? TOKENIZE_BOS : 0) | (special ? TOKENIZE_SPECIAL : 0);
      // As a rule a token is a byte or more; BOS and EOS come on top.
      let capacity = length + 8;
      for (;;) {
        const out = allocate(capacity * 4);
        const count = allocate(4);
        core.check('hb_wasm_tokenize', tokenizer, data, length, flags, out, capacity, count);
        const [found] = core.tokens(count, 1);
        if (found <= capacity) return core.tokens(out, found);
        capacity = found;
      }
    });
  }

  /**
   * @param {{ tokens: ArrayLike<number>, special: boolean }} args
   * @returns {string}
   */
  detokenize({ tokens, special }) {
    const core = this.#core;
    const tokenizer = this.#requireTokenizer();
    this.#checkTokens(tokens);
    return core.scope((allocate) => {
      const infoAt = allocate(core.sizeOf('hb_tokenizer_info'));
      core.call('hb_tokenizer_get_info', tokenizer, infoAt);
      const capacity = core.read('hb_tokenizer_info', infoAt).longest_token + 16;
      const state = allocate(core.sizeOf('hb_detokenizer'));
      core.write('hb_detokenizer', state, {});
      const out = allocate(capacity);
      const length = allocate(4);
      let text = '';
      for (const token of [...Array.from(tokens), NO_TOKEN]) {
        const flags = special ? DETOKENIZE_SPECIAL : 0;
        if (core.call('hb_detokenize', tokenizer, state, token, flags, out, capacity, length) !== 0)
          throw new ArgumentError(`token ${token} cannot be turned into text`);
        text += core.text(out, core.tokens(length, 1)[0]);
      }
      return text;
    });
  }

  /**
   * The tokens as the file has them.
   * @param {{ tokens: ArrayLike<number> }} args
   * @returns {string[]}
   */
  tokenTexts({ tokens }) {
    const core = this.#core;
    const tokenizer = this.#requireTokenizer();
    this.#checkTokens(tokens);
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_string'));
      return Array.from(tokens, (token) => {
        core.call('hb_wasm_token_text', tokenizer, token, at);
        return core.string(at);
      });
    });
  }

  /** @param {ArrayLike<number>} tokens */
  #checkTokens(tokens) {
    const { vocabulary } = this.#readInfo();
    for (let i = 0; i < tokens.length; i++)
      if (!Number.isInteger(tokens[i]) || tokens[i] < 0 || tokens[i] >= vocabulary)
        throw new ArgumentError(`tokens[${i}] is ${tokens[i]}; the vocabulary has ${vocabulary}`);
  }

  // ---- Computing

  /** @param {number} contextLength @param {'f16' | 'f32'} kv @param {number} [logitRows] */
  #sessionOptions(contextLength, kv, logitRows = 1) {
    return {
      allocator: this.#core.call('hb_wasm_allocator'),
      parallel: this.#machine?.parallel ?? 0,
      context_length: contextLength,
      batch: Math.min(BATCH, contextLength || BATCH),
      logit_rows: logitRows,
      kv: KV[kv],
    };
  }

  /** @param {number} contextLength @param {'f16' | 'f32'} kv */
  #sessionMemory(contextLength, kv) {
    const core = this.#core;
    return core.scope((allocate) => {
      const options = allocate(core.sizeOf('hb_session_options'));
      core.write('hb_session_options', options, this.#sessionOptions(contextLength, kv));
      return Number(core.result64('hb_session_memory', this.#model, options));
    });
  }

  /** @param {number} contextLength @param {number} logitRows @returns {Pointer} */
  #createSession(contextLength, logitRows) {
    const core = this.#core;
    return core.scope((allocate) => {
      const options = allocate(core.sizeOf('hb_session_options'));
      core.write(
        'hb_session_options',
        options,
        this.#sessionOptions(contextLength, this.#kv, logitRows),
      );
      return core.result('hb_session_create', this.#model, options);
    });
  }

  /**
   * Appends tokens to a session as one step.
   * @param {Pointer} session
   * @param {ArrayLike<number>} tokens
   * @param {'all' | 'last' | 'none'} logits
   */
  #step(session, tokens, logits) {
    const core = this.#core;
    const size = core.sizeOf('hb_row');
    core.scope((allocate) => {
      const rows = allocate(size * tokens.length);
      for (let i = 0; i < tokens.length; i++) {
        const wanted = logits === 'all' || (logits === 'last' && i === tokens.length - 1);
        core.write('hb_row', rows + i * size, {
          session,
          token: tokens[i],
          want_logits: wanted ? 1 : 0,
        });
      }
      core.check('hb_step', session, rows, tokens.length);
    });
  }

  /**
   * The logits of every position of a text of its own.
   * @param {{ tokens: number[], split: 'whole' | 'pieces' | 'single' }} args
   * @param {Emit} emit
   * @param {Watch} watch
   * @returns {Promise<Float32Array>} [tokens][vocabulary]
   */
  async logits({ tokens, split }, emit, watch) {
    const core = this.#core;
    this.#checkTokens(tokens);
    const { vocabulary } = this.#readInfo();
    const fitting = Math.max(1, Math.floor(LOGIT_BYTES / (4 * vocabulary)));
    const most = Math.min(BATCH, fitting, tokens.length);
    const out = new Float32Array(tokens.length * vocabulary);
    if (tokens.length === 0) return out;
    const session = this.#createSession(tokens.length, most);
    try {
      const pieces = { whole: [most], pieces: [3, 1, 5, 2, 17, 4], single: [1] }[split];
      for (let at = 0, turn = 0, n; at < tokens.length; at += n, turn++) {
        await breathe();
        if (watch.aborted) throw new AbortError('the computation of logits was aborted');
        n = Math.min(pieces[turn % pieces.length], most, tokens.length - at);
        this.#step(session, tokens.slice(at, at + n), 'all');
        for (let i = 0; i < n; i++)
          out.set(
            core.floats(core.call('hb_session_logits', session, i), vocabulary),
            (at + i) * vocabulary,
          );
      }
      return out;
    } finally {
      if (!core.dead) core.call('hb_session_destroy', session);
    }
  }

  /**
   * Continues a prompt. The events are parts { text, token, logprob } and { phase, loaded, total };
   * the result is the last object of the stream.
   * @param {{ prompt: string | number[], options: GenerateArgs }} args
   * @param {Emit} emit
   * @param {Watch} watch
   *
   * @typedef {object} GenerateArgs
   * @property {number} maxTokens
   * @property {boolean} ignoreEos
   * @property {string[]} stop
   * @property {boolean} special
   * @property {{ token: number, bias: number }[]} biases
   * @property {{ seed: bigint } & Record<string, number | bigint>} sampler fields of
   *   hb_sampler_options
   */
  async stream({ prompt, options }, emit, watch) {
    const core = this.#core;
    const session = this.#session;
    const started = performance.now();
    const tokens = typeof prompt === 'string' ? this.#promptTokens(prompt, options) : prompt;
    this.#checkTokens(tokens);
    const contextLength = core.call('hb_session_context_length', session);
    if (tokens.length === 0) throw new ArgumentError('the prompt has no tokens');
    if (tokens.length > contextLength)
      throw new ContextFullError(
        `the prompt has ${tokens.length} tokens and the context ${contextLength}`,
      );

    core.call('hb_session_rewind', session, 0);
    const complete = await this.#prefill(session, tokens, emit, watch);
    const prefilled = performance.now();
    const { completion, finishReason } = complete
      ? await this.#decode(session, tokens, options, emit, watch)
      : { completion: 0, finishReason: /** @type {FinishReason} */ ('abort') };
    const prefillMs = prefilled - started;
    const decodeMs = performance.now() - prefilled;
    return {
      finishReason,
      usage: { promptTokens: tokens.length, completionTokens: completion },
      timings: {
        prefillMs,
        decodeMs,
        prefillTokensPerSecond: (tokens.length / prefillMs) * 1000,
        tokensPerSecond: (completion / decodeMs) * 1000,
      },
    };
  }

  /**
   * A prompt's tokens; where there are none, one that a text can begin after.
   * @param {string} prompt
   * @param {GenerateArgs} options
   */
  #promptTokens(prompt, { special }) {
    const tokens = this.tokenize({ text: prompt, bos: true, special });
    if (tokens.length > 0) return tokens;
    const info = this.#tokenizerInfo();
    const first = info?.bos ?? info?.eos;
    if (first === undefined)
      throw new ArgumentError('the model has no token that begins a text: it needs a prompt');
    return [first];
  }

  /**
   * @param {Pointer} session
   * @param {number[]} tokens
   * @param {Emit} emit
   * @param {Watch} watch
   * @returns {Promise<boolean>} false if it was aborted
   */
  async #prefill(session, tokens, emit, watch) {
    let slice = FIRST_SLICE;
    let reported = -Infinity;
    for (let at = 0; at < tokens.length;) {
      await breathe();
      if (watch.aborted) return false;
      const begun = performance.now();
      const part = tokens.slice(at, at + slice);
      at += part.length;
      this.#step(session, part, at === tokens.length ? 'last' : 'none');
      const now = performance.now();
      if (now - begun < SLICE_MS / 2) slice = Math.min(slice * 2, BATCH);
      else if (now - begun > SLICE_MS * 2) slice = Math.max(slice / 2, 1);
      if (now - reported >= PROGRESS_MS || at === tokens.length) {
        reported = now;
        emit({ phase: 'prefill', loaded: at, total: tokens.length });
      }
    }
    return true;
  }

  /**
   * @param {Pointer} session
   * @param {number[]} tokens the prompt, which the session holds
   * @param {GenerateArgs} options
   * @param {Emit} emit
   * @param {Watch} watch
   */
  async #decode(session, tokens, options, emit, watch) {
    const core = this.#core;
    const generator = this.#createGenerator(session, options);
    let completion = 0;
    /** @type {FinishReason} */
    let finishReason = 'abort';
    try {
      core.scope((allocate) => {
        const at = allocate(tokens.length * 4);
        core.putTokens(at, tokens);
        core.call('hb_generator_accept', generator, at, tokens.length);
      });
      for (let finish = FINISH.NONE; finish === FINISH.NONE;) {
        await breathe();
        if (watch.aborted) break;
        const piece = this.#next(generator);
        const token = piece.token === NO_TOKEN ? undefined : piece.token;
        if (token !== undefined) completion++;
        if (token !== undefined || piece.text)
          emit({
            text: piece.text,
            token,
            logprob: token === undefined ? undefined : piece.logprob,
          });
        finish = piece.finish;
        if (finish !== FINISH.NONE) finishReason = FINISH_REASONS[finish];
      }
    } finally {
      if (!core.dead) core.call('hb_generator_destroy', generator);
    }
    return { completion, finishReason };
  }

  /** @param {Pointer} session @param {GenerateArgs} options @returns {Pointer} */
  #createGenerator(session, options) {
    const core = this.#core;
    return core.scope((allocate) => {
      const size = core.sizeOf('hb_string');
      const stop = allocate(size * options.stop.length);
      options.stop.forEach((text, i) =>
        core.write('hb_string', stop + i * size, core.putText(allocate, text)),
      );
      const biasSize = core.sizeOf('hb_logit_bias');
      const biases = allocate(biasSize * options.biases.length);
      options.biases.forEach((bias, i) => core.write('hb_logit_bias', biases + i * biasSize, bias));
      const at = allocate(core.sizeOf('hb_generate_options'));
      core.write('hb_generate_options', at, {
        allocator: core.call('hb_wasm_allocator'),
        sampler: { ...options.sampler, biases, bias_count: options.biases.length },
        max_tokens: options.maxTokens,
        ignore_end: options.ignoreEos ? 1 : 0,
        stop,
        stop_count: options.stop.length,
      });
      return core.result('hb_generator_create', session, at);
    });
  }

  /** @param {Pointer} generator */
  #next(generator) {
    const core = this.#core;
    return core.scope((allocate) => {
      const at = allocate(core.sizeOf('hb_piece'));
      core.check('hb_generator_next', generator, at);
      return core.read('hb_piece', at);
    });
  }
}

/** Reports how far a load has come, at most 20 times a second, and once at the end. */
class Progress {
  #emit;
  #loaded = 0;
  /** @type {number | undefined} */ #total = 0;
  #reported = -Infinity;

  /** @param {Emit} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** Another file begins. @param {number | undefined} size @param {number} files how many were given */
  begin(size, files) {
    // Only with a single file is the total known before the last one begins.
    this.#total = files === 1 && this.#loaded === 0 ? size : undefined;
  }

  /** @param {number} bytes */
  advance(bytes) {
    this.#loaded += bytes;
    const now = performance.now();
    if (now - this.#reported < PROGRESS_MS) return;
    this.#reported = now;
    this.#report();
  }

  end() {
    this.#total = this.#loaded;
    this.#report();
  }

  #report() {
    this.#emit({ phase: 'load', loaded: this.#loaded, total: this.#total });
  }
}
