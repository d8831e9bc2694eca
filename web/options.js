// Checks what a caller gives and puts it into the form that the engine takes.
import { downloadSettings } from './download/settings.js';
import { ArgumentError, MAX_THREADS, TYPE } from './generated.js';

/** @import { BenchArgs } from './bench.js' */
/** @import { ContextPolicy } from './chat/fit.js' */
/** @import { EngineOptions } from './engine.js' */
/** @import { GenerateArgs } from './generation.js' */
/** @import { LoadProgress } from './progress.js' */
/** @import { QuantizeMethodOptions } from './quantize/options.js' */
/** @import { SyntheticModel } from './synthetic.js' */

const ISAS = /** @type {const} */ (['scalar', 'simd128', 'relaxed']);
export const CONTEXT_POLICIES = /** @type {const} */ (['error', 'shift', 'truncateMiddle']);
const KV_TYPES = /** @type {const} */ (['f16', 'f32']);
export const U32 = 2 ** 32 - 1;
const MOST_SAMPLES = 100;
const TYPES = Object.keys(TYPE);

/**
 * Where a model comes from. A string is a URL, the name of a file on a hub
 * (`hf:owner/repo/file.gguf`, or with `@revision` behind it) or, in Node, a path; a shape makes a
 * model with random weights, for measuring.
 * @typedef {string | URL | Blob | FileSystemFileHandle | ReadableStream<Uint8Array> | ArrayBuffer |
 *   ArrayBufferView | SyntheticModel} ModelSource
 */

/**
 * A LoRA adapter: its file in the GGUF form of llama.cpp, or that with a factor for what it adds (1
 * unless given), and the SHA-256 that the file must have if it is downloaded.
 * @typedef {ModelSource | { source: ModelSource, scale?: number, sha256?: string }} Lora
 */

/**
 * Options of `load` and `inspect`.
 * @typedef {object} LoadOptions
 * @property {number} [threads] how many threads compute; as many as `capabilities()` says unless
 *   given
 * @property {number} [contextLength] positions of the context; what the model was made for, up to
 *   4096, unless given
 * @property {(progress: LoadProgress) => void} [onProgress] is called at most 20 times a second
 * @property {AbortSignal} [signal] ends the loading; what was downloaded and verified is kept
 * @property {boolean | string} [cache] whether what is downloaded is kept: unless given, it is where
 *   that is possible; true: fail where it is not; false: keep nothing; in Node, the directory to keep
 *   it in
 * @property {string | string[]} [sha256] that the downloaded file must have, or each of a list
 * @property {Record<string, string>} [headers] for the server of a URL or the hub, such as
 *   Authorization; in Node, hosts that it redirects to do not get them; in pages the browser follows
 *   redirects by itself, and of all headers leaves only Authorization out
 * @property {string} [hub] address of the hub that names with `hf:` are of; https://huggingface.co
 *   unless given
 * @property {string | QuantizeMethodOptions} [quantize] a type such as q4_0, or more: quantize a model
 *   in F32, F16 or BF16 before it is loaded. The result is kept in the cache, so that this, and the
 *   download, happen once; a model that is quantized already is loaded as it is, and `info` says so.
 *   `inspect` and `plan` tell of the source
 * @property {Lora | Lora[]} [lora] adapters that are added to the model, of any type, as it is loaded:
 *   what they change is computed beside its weights, which stay as they are. They are downloaded and
 *   kept as models are; `headers` go to the model's server only. `inspect` and `plan` tell of the
 *   model alone
 * @property {'scalar' | 'simd128' | 'relaxed'} [isa] instead of the fastest that works; the results
 *   are the same
 * @property {'f16' | 'f32'} [kv] type of the KV cache; f16 unless given
 * @property {boolean} [divideAll] divide even the steps that one thread computes faster alone: for
 *   testing threads with small models
 */

/**
 * Options of `model.generate` and `model.stream`.
 * @typedef {object} GenerateOptions
 * @property {number} [maxTokens] until the context is full unless given
 * @property {ContextPolicy} [contextPolicy] what happens to a text that outgrows the context; `error`
 *   unless given
 * @property {number} [temperature] 0.8 unless given; 0 always takes the likeliest token
 * @property {number} [topK] keep the k likeliest tokens; 0 (all) unless given
 * @property {number} [topP] keep the likeliest that together reach p; 0.95 unless given
 * @property {number} [minP] drop those less likely than this times the likeliest; 0.05 unless given
 * @property {number} [repetitionPenalty] 1 (off) unless given
 * @property {number} [frequencyPenalty] 0 (off) unless given
 * @property {number} [presencePenalty] 0 (off) unless given
 * @property {number} [penaltyWindow] how many of the last tokens the penalties look at; 64 unless
 *   given
 * @property {Record<number, number>} [logitBias] what to add to the logits of some tokens
 * @property {number | bigint} [seed] of the draws; another one each time unless given
 * @property {string | string[]} [stop] texts that end the generation and are left out of it
 * @property {boolean} [ignoreEos] go on after the model ended its text
 * @property {boolean} [logprobs] tell the log-probability of each token, which takes a little time
 * @property {boolean} [special] whether control tokens written in the prompt are control tokens;
 *   unless set they are plain text
 * @property {(progress: { phase: 'prefill', loaded: number, total: number }) => void} [onProgress]
 *   tokens of the prompt that were read
 * @property {AbortSignal} [signal] ends the generation, with the finishReason 'abort'
 */

/**
 * A number within its range, or ArgumentError.
 * @param {string} name
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 * @param {boolean} [whole]
 * @returns {number}
 */
export function number(name, value, least, most, whole = false) {
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw new ArgumentError(`${name} must be a number from ${least} to ${most}, not ${value}`);
  if (whole && !Number.isInteger(value))
    throw new ArgumentError(`${name} must be a whole number, not ${value}`);
  return value;
}

/**
 * @template {string} T
 * @param {string} name
 * @param {unknown} value
 * @param {readonly T[]} allowed
 * @returns {T}
 */
export function oneOf(name, value, allowed) {
  if (!allowed.includes(/** @type {T} */ (value)))
    throw new ArgumentError(`${name} must be one of ${allowed.join(', ')}, not ${value}`);
  return /** @type {T} */ (value);
}

/** @param {LoadOptions} options @returns {EngineOptions} */
export function engineOptions(options) {
  const { threads, contextLength, isa, kv, divideAll } = options;
  return {
    download: downloadSettings(options),
    threads: threads === undefined ? undefined : number('threads', threads, 1, MAX_THREADS, true),
    contextLength:
      contextLength === undefined
        ? undefined
        : number('contextLength', contextLength, 1, U32, true),
    isa: isa === undefined ? undefined : oneOf('isa', isa, ISAS),
    kv: kv === undefined ? undefined : oneOf('kv', kv, KV_TYPES),
    divideAll: divideAll === true,
  };
}

const LARGE = 1e6; // for reals that have no natural limit

/** @param {GenerateOptions} options @returns {GenerateArgs} */
export function generateArgs(options) {
  const {
    maxTokens = 0,
    contextPolicy = 'error',
    temperature = 0.8,
    topK = 0,
    topP = 0.95,
    minP = 0.05,
    repetitionPenalty = 1,
    frequencyPenalty = 0,
    presencePenalty = 0,
    penaltyWindow = 0,
    logitBias = {},
    seed = randomSeed(),
    stop = [],
    ignoreEos = false,
    logprobs = false,
    special = false,
  } = options;
  return {
    maxTokens: number('maxTokens', maxTokens, 0, U32, true),
    contextPolicy: oneOf('contextPolicy', contextPolicy, CONTEXT_POLICIES),
    ignoreEos: Boolean(ignoreEos),
    logprobs: Boolean(logprobs),
    special: Boolean(special),
    stop: stopTexts(stop),
    biases: Object.entries(logitBias).map(([token, bias]) => ({
      token: number('a token of logitBias', Number(token), 0, 2 ** 31 - 1, true),
      bias: number(`logitBias[${token}]`, bias, -LARGE, LARGE),
    })),
    sampler: {
      temperature: number('temperature', temperature, 0, LARGE),
      top_k: number('topK', topK, 0, U32, true),
      top_p: number('topP', topP, 0, 1),
      min_p: number('minP', minP, 0, 1),
      repetition_penalty: number('repetitionPenalty', repetitionPenalty, 0, LARGE),
      frequency_penalty: number('frequencyPenalty', frequencyPenalty, -LARGE, LARGE),
      presence_penalty: number('presencePenalty', presencePenalty, -LARGE, LARGE),
      penalty_window: number('penaltyWindow', penaltyWindow, 0, U32, true),
      seed: seedOf(seed),
    },
  };
}

/**
 * How far a measurement is.
 * @typedef {object} BenchProgress
 * @property {'bench'} phase
 * @property {number} loaded samples so far
 * @property {number} total samples
 */

/**
 * Options of `model.bench`.
 * @typedef {object} BenchOptions
 * @property {number} [prompt] tokens that are read at once; 128 unless given
 * @property {number} [generate] tokens that are then decoded one by one; 32 unless given
 * @property {number} [repeat] samples of each; 5 unless given
 * @property {number} [depth] tokens in the context before the prompt; 0 unless given
 * @property {(progress: BenchProgress) => void} [onProgress] is called now and then
 * @property {AbortSignal} [signal]
 */

/** @param {BenchOptions} options @returns {BenchArgs} */
export function benchArgs({ prompt = 128, generate = 32, repeat = 5, depth = 0 }) {
  return {
    prompt: number('prompt', prompt, 1, U32, true),
    generate: number('generate', generate, 1, U32, true),
    repeat: number('repeat', repeat, 1, MOST_SAMPLES, true),
    depth: number('depth', depth, 0, U32, true),
  };
}

/**
 * Options of `benchKernels`.
 * @typedef {object} KernelBenchOptions
 * @property {string[]} [types] of weights; all unless given
 * @property {number} [threads] as many as `capabilities()` says unless given
 * @property {'scalar' | 'simd128' | 'relaxed'} [isa] the fastest that works unless given
 * @property {(progress: BenchProgress) => void} [onProgress] `loaded` and `total` count kernels
 * @property {AbortSignal} [signal]
 */

/** @param {KernelBenchOptions} options */
export function kernelBenchArgs({ types = TYPES, threads, isa }) {
  if (!Array.isArray(types)) throw new ArgumentError('types must be a list of tensor types');
  return {
    options: engineOptions({ threads, isa }),
    types: types.map((type) => oneOf('a type', String(type).toUpperCase(), TYPES)),
  };
}

/** @param {unknown} stop @returns {string[]} */
function stopTexts(stop) {
  const texts = Array.isArray(stop) ? stop : [stop];
  for (const text of texts)
    if (typeof text !== 'string' || text === '')
      throw new ArgumentError('stop must be a text or a list of texts that are not empty');
  return texts;
}

/** @param {unknown} seed */
export function seedOf(seed) {
  if (typeof seed === 'bigint') {
    if (seed < 0n || seed >= 1n << 64n)
      throw new ArgumentError(`seed must be from 0 to 2^64 - 1, not ${seed}`);
    return seed;
  }
  return BigInt(number('seed', seed, 0, Number.MAX_SAFE_INTEGER, true));
}

/** A seed that fits a number, so that it can be written down and used again. */
function randomSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}

/** @param {unknown} tokens @returns {number[]} */
export function tokenList(tokens) {
  if (!Array.isArray(tokens) && !ArrayBuffer.isView(tokens))
    throw new ArgumentError('tokens must be an array of numbers');
  return Array.from(/** @type {number[]} */ (tokens), (token, i) =>
    number(`tokens[${i}]`, token, 0, 2 ** 31 - 1, true),
  );
}

/** @param {string} name @param {unknown} value @returns {string} */
export function text(name, value) {
  if (typeof value !== 'string') throw new ArgumentError(`${name} must be a text, not ${value}`);
  return value;
}
