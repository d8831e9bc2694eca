// How fast a model runs. All of this happens in the worker that computes: between two looks at the
// clock nothing waits for a message. The top of native/bench/model.c says what each figure means.
import { AbortError, ContextFullError, OutOfMemoryError } from './generated.js';
import { breathe, engineName, processorName } from './platform.js';
import { Probe } from './probe.js';

/** @import { Emit, Watch } from './engine.js' */
/** @import { Loaded, Session } from './session.js' */
/** @import { Machine } from './variants.js' */

const BATCH_MS = 20; // browsers' clocks tick every 0.005 to 1 ms
const WARM_MS = 500; // engines compile a function anew when it has run for a while
const SLICE = 256; // tokens between two looks at messages
const READ_ROW = 1 << 16;
// The memory for reading is not given back while the model lives.
const LEAST_READ = 64 << 20;
const MOST_READ = 256 << 20;

/**
 * What is measured.
 * @typedef {object} BenchArgs
 * @property {number} prompt tokens that are read at once
 * @property {number} generate tokens that are decoded one by one
 * @property {number} repeat samples of each
 * @property {number} depth positions of the context that are full already
 */

/**
 * Figures are medians; a spread is the largest sample less the smallest.
 * @typedef {object} BenchResult
 * @property {number} threads
 * @property {number} prefill tokens/s of reading the prompt
 * @property {number} prefillSpread
 * @property {number} decode tokens/s of decoding
 * @property {number} decodeSpread
 * @property {number} decodeGBps 10^9 bytes of weights a second that decoding reads
 * @property {number} decodeGBpsSpread
 * @property {number} readGBps what plain reading of as much memory reaches; 0 if it could not be had
 * @property {number} readGBpsSpread
 * @property {number} prefillGops 10^9 operations a second of the products in reading the prompt
 * @property {number} prefillGopsSpread
 * @property {number} loadSeconds without the time of making a synthetic model
 * @property {number} loadSecondsSpread
 * @property {number} firstTokenSeconds from a loaded model to the first token
 * @property {number} firstTokenSecondsSpread
 * @property {number} peakBytes memory of the module, before the memory was measured
 * @property {string} isa
 * @property {string} cpu
 * @property {string} engine
 * @property {string} commit that the module was built from
 */

/**
 * A loaded model with what measuring has to know about it.
 * @typedef {Machine & Loaded & { loadSeconds: number, info: any }} Measured `info`: an hb_model_info
 */

/** @typedef {(done: number) => Promise<void>} Turn looks at messages between two samples */
/** @typedef {{ prefill: () => number, decode: () => number }} Watches seconds of each */

/**
 * @param {Measured} loaded
 * @param {Session} session
 * @param {BenchArgs} args
 * @param {Emit} emit hears of progress
 * @param {Watch} watch
 * @returns {Promise<BenchResult>}
 */
export async function measureModel(loaded, session, args, emit, watch) {
  const { prompt, generate, repeat, depth } = args;
  /** @type {Turn} */
  const turn = async (done) => {
    emit({ phase: 'bench', loaded: done, total: repeat });
    await breathe();
    if (watch.aborted) throw new AbortError('the measurement was aborted');
  };
  const text = new Text(loaded, session, depth + prompt + generate);
  try {
    for (let at = 0; at < depth; at += SLICE) {
      await turn(0);
      text.read(at, Math.min(SLICE, depth - at));
    }
    const watches = {
      prefill: stopwatch(() => text.read(depth, prompt)),
      decode: stopwatch(() => text.decode(depth + prompt, generate)),
    };
    await warmUp(watches, turn);
    const sampling = text.samplingTime();
    const peakBytes = loaded.core.memory.buffer.byteLength;
    const { decodeBytes, operations } = workOf(loaded, prompt);
    const { prefills, decodes, reads } = await take(loaded, watches, decodeBytes, repeat, turn);
    const rate = (/** @type {number} */ work) => (/** @type {number} */ each) => work / each;
    return {
      threads: loaded.threads,
      ...samples('prefill', prefills.map(rate(prompt))),
      ...samples('decode', decodes.map(rate(generate))),
      ...samples('decodeGBps', decodes.map(rate((generate * decodeBytes) / 1e9))),
      ...samples('readGBps', reads),
      ...samples('prefillGops', prefills.map(rate(operations / 1e9))),
      ...samples('loadSeconds', [loaded.loadSeconds]),
      ...samples(
        'firstTokenSeconds',
        prefills.map((each) => each + sampling),
      ),
      peakBytes,
      ...identity(loaded),
    };
  } finally {
    text.end();
  }
}

/** @param {Watches} watches @param {Turn} turn */
async function warmUp({ prefill, decode }, turn) {
  const begun = performance.now();
  do {
    await turn(0);
    prefill();
    decode();
  } while (performance.now() - begun < WARM_MS);
}

/**
 * Takes the figures in turns.
 * @param {Machine} machine
 * @param {Watches} watches
 * @param {number} size of the memory to read
 * @param {number} repeat
 * @param {Turn} turn
 */
async function take(machine, { prefill, decode }, size, repeat, turn) {
  const memory = new MemorySpeed(machine, size);
  /** @type {Record<'prefills' | 'decodes' | 'reads', number[]>} */
  const taken = { prefills: [], decodes: [], reads: [] };
  try {
    for (let done = 1; done <= repeat; done++) {
      taken.prefills.push(prefill());
      taken.decodes.push(decode());
      taken.reads.push(memory.measure());
      await turn(done);
    }
    return taken;
  } finally {
    memory.end();
  }
}

/**
 * Bytes of weights that decoding a token reads, and operations in the products of a prompt.
 * @param {Measured} loaded
 * @param {number} prompt tokens of it
 */
function workOf({ core, model, info }, prompt) {
  const gguf = core.call('hb_model_gguf', model);
  const bytes = (/** @type {string} */ name) =>
    core.scope((allocate) => {
      const { data } = core.putText(allocate, `${name}\0`);
      const at = core.call('hb_gguf_tensor', gguf, data);
      return at ? core.read('hb_tensor', at).bytes : 0;
    });
  const ownOutput = bytes('output.weight') > 0;
  const table = info.vocabulary * info.width;
  const layers = info.parameters - (ownOutput ? 2 : 1) * table;
  return {
    decodeBytes: info.weight_bytes - (ownOutput ? bytes('token_embd.weight') : 0),
    operations: 2 * layers * prompt + 2 * table,
  };
}

/** What the memory gives to all threads together. */
export class MemorySpeed {
  /** @type {Probe | undefined} */ #probe;
  #time = stopwatch(() => this.#probe?.run());

  /** @param {Machine} machine @param {number} size of what would be read, in bytes */
  constructor(machine, size) {
    const rows = Math.ceil(Math.min(Math.max(size, LEAST_READ), MOST_READ) / READ_ROW);
    try {
      this.#probe = new Probe(machine, { kind: 'read', rows, cols: READ_ROW });
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
    }
  }

  /** 10^9 bytes a second, the most of three times; 0 where there is not enough memory. */
  measure() {
    if (!this.#probe) return 0;
    const seconds = Math.min(this.#time(), this.#time(), this.#time());
    return this.#probe.bytes / seconds / 1e9;
  }

  end() {
    this.#probe?.destroy();
  }
}

/** Tokens from all over the vocabulary, as a session reads them. */
class Text {
  #core;
  #session;
  #vocabulary;
  #length;
  #tokens;

  /** @param {Loaded} loaded @param {Session} session @param {number} length */
  constructor({ core, vocabulary }, session, length) {
    if (length > session.contextLength)
      throw new ContextFullError(
        `measuring takes ${length} positions and the context has ${session.contextLength}`,
      );
    this.#core = core;
    this.#session = session;
    this.#vocabulary = vocabulary;
    this.#length = length;
    this.#tokens = core.allocate(length * 4);
    const tokens = Array.from({ length }, (_, i) => (i * 7919) % vocabulary);
    core.putTokens(this.#tokens, tokens);
    session.clear();
  }

  /** Reads tokens at once, from a position that the session has come to. @param {number} from
   * @param {number} count */
  read(from, count) {
    this.#session.rewind(from);
    this.#session.append(this.#tokens + from * 4, count);
  }

  /** Reads them one by one. @param {number} from @param {number} count */
  decode(from, count) {
    this.#session.rewind(from);
    for (let at = from; at < from + count; at++) this.#session.append(this.#tokens + at * 4, 1);
  }

  /** Seconds that it takes to choose the likeliest token. */
  samplingTime() {
    const core = this.#core;
    return core.scope((allocate) => {
      const options = allocate(core.sizeOf('hb_sampler_options'));
      core.write('hb_sampler_options', options, { top_p: 1, repetition_penalty: 1 });
      const allocator = core.call('hb_wasm_allocator');
      const sampler = core.result('hb_sampler_create', allocator, this.#vocabulary, options);
      const logits = core.call('hb_session_logits', this.#session.pointer, 0);
      const seconds = stopwatch(() => core.call('hb_sampler_sample', sampler, logits, 0))();
      core.call('hb_sampler_destroy', sampler);
      return seconds;
    });
  }

  end() {
    if (this.#core.dead) return;
    this.#session.clear();
    this.#core.release(this.#tokens, this.#length * 4);
  }
}

/**
 * A function that gives the seconds which `body` takes: the mean over as many calls as the clock
 * needs.
 * @param {() => void} body
 */
export function stopwatch(body) {
  let count = 1;
  return () => {
    for (;;) {
      const begun = performance.now();
      for (let i = 0; i < count; i++) body();
      const passed = performance.now() - begun;
      if (passed >= BATCH_MS) return passed / count / 1000;
      count *= 2;
    }
  };
}

/**
 * Median and spread of values, by the names of a figure.
 * @template {string} Name
 * @param {Name} name
 * @param {number[]} values
 * @returns {Record<Name | `${Name}Spread`, number>}
 */
export function samples(name, values) {
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  const median = last < 0 ? 0 : (sorted[Math.floor(last / 2)] + sorted[Math.ceil(last / 2)]) / 2;
  const spread = last < 0 ? 0 : sorted[last] - sorted[0];
  return /** @type {any} */ ({ [name]: median, [`${name}Spread`]: spread });
}

/** What computes here. @param {Machine} machine */
function identity({ core, isa }) {
  return {
    isa: core.cstring(core.call('hb_isa_name', isa)),
    cpu: processorName(),
    engine: engineName(),
    commit: core.cstring(core.call('hb_wasm_commit')),
  };
}
