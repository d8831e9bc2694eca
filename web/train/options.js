// What a caller may say about training, checked and in the form that the worker takes.
import { ArgumentError } from '../generated.js';
import { number, oneOf, seedOf, text } from '../options.js';
import { workOptions } from '../quantize/options.js';

/** @import { LoadProgress } from '../progress.js' */
/** @import { DownloadSettings } from '../sources.js' */

/**
 * Text to learn: strings and files are cut into documents, each of a list's strings is one.
 * @typedef {string | Blob | (string | Blob)[]} TrainingText
 */

/**
 * Options of `finetune`.
 * @typedef {object} FinetuneOptions
 * @property {number} [steps] 100 unless given
 * @property {number} [rate] of learning, at its height: 0.001 unless given
 * @property {'cosine' | 'linear' | 'constant'} [schedule] how the rate goes down; cosine unless given
 * @property {number} [warmup] the part of the steps in which it goes up; 0 unless given
 * @property {number} [decay] of the adapter's values, as AdamW has it; 0 unless given
 * @property {number} [sequences] in a step; 4 unless given
 * @property {number} [length] tokens of a sequence, at most the model's context; 128 unless given, or
 *   as many as the text has
 * @property {number} [rank] of the adapter; 8 unless given
 * @property {number} [alpha] what it adds counts alpha / rank; twice the rank unless given
 * @property {string | string[]} [matrices] that are adapted, as in `attn_q,attn_v`; all in layers
 *   unless given
 * @property {'f32' | 'f16' | 'bf16'} [type] of the adapter's file; f32 unless given
 * @property {number | bigint} [seed] of the order of the text and of the adapter's beginning; 0 unless
 *   given
 * @property {boolean} [recompute] compute layers twice, which takes less memory
 * @property {TrainingText} [validation] other text, whose loss is measured before, after and in
 *   between
 * @property {number} [validationEvery] steps; a tenth of all unless given
 * @property {number} [threads] as many as `capabilities()` says unless given; the result is the same
 * @property {boolean | string} [cache] as for `load`
 * @property {string | string[]} [sha256] as for `load`
 * @property {Record<string, string>} [headers] as for `load`
 * @property {string} [hub] as for `load`
 * @property {(progress: LoadProgress) => void} [onProgress] while the model is fetched and read, as
 *   for `load`
 * @property {(step: TrainingStep) => void} [onStep] is called after each step, and before the first
 *   one, as step 0, where `validation` is measured
 * @property {AbortSignal} [stop] ends the training behind the step that it is in; what was learned
 *   until then is the result
 * @property {AbortSignal} [signal] ends everything at once, and leaves nothing
 * @property {'scalar' | 'simd128'} [isa] instead of the fastest; the result is the same
 */

/**
 * How far training is.
 * @typedef {object} TrainingStep
 * @property {number} step steps that are done
 * @property {number} steps of the whole run
 * @property {number} [loss] of the last step: mean of -ln(probability) of its tokens
 * @property {number} [validation] the loss of that text, in the steps where it is measured
 * @property {number} [tokensPerSecond] so far, the time for validation left out
 * @property {number} [secondsLeft] at that speed
 */

/**
 * A trained adapter and how it was trained.
 * @typedef {object} Finetuning
 * @property {Blob} adapter a GGUF file, which `load` takes as `lora`
 * @property {number} steps that were done
 * @property {boolean} stopped whether `stop` ended it before the last step
 * @property {number[]} losses of each step
 * @property {{ step: number, loss: number }[]} validation what was measured of it
 * @property {number} documents in the text
 * @property {number} textTokens in the text
 * @property {number} tokens that were read in all steps
 * @property {number} length tokens of a sequence
 * @property {number} seconds of all steps
 * @property {number} threads
 * @property {string | undefined} threadsReason why there was one thread only
 */

/**
 * As they travel to the worker.
 * @typedef {object} FinetuneArgs
 * @property {number} steps
 * @property {number} sequences
 * @property {number | undefined} length
 * @property {bigint} seed
 * @property {number} validationEvery
 * @property {'scalar' | 'simd128'} isa
 * @property {Record<string, string | number>} others as the core calls them
 * @property {number | undefined} threads
 * @property {DownloadSettings} download
 */

const MOST_STEPS = 1e6;
const MOST_ROWS = 1 << 20; // tokens in a step
const MOST_RANK = 4096;

/** @param {FinetuneOptions} options @returns {FinetuneArgs} */
export function finetuneArgs(options) {
  const { steps = 100, sequences = 4, length, seed = 0, isa = 'simd128' } = options;
  const { validationEvery = Math.ceil(steps / 10) } = options;
  return {
    steps: number('steps', steps, 1, MOST_STEPS, true),
    sequences: number('sequences', sequences, 1, MOST_ROWS, true),
    length: length === undefined ? undefined : number('length', length, 2, MOST_ROWS, true),
    seed: seedOf(seed),
    validationEvery: number('validationEvery', validationEvery, 1, MOST_STEPS, true),
    isa: oneOf('isa', isa, ['scalar', 'simd128']),
    others: otherOptions(options),
    ...workOptions(options),
  };
}

/** @param {FinetuneOptions} options */
function otherOptions({ rate = 1e-3, rank = 8, ...options }) {
  const { alpha = 2 * rank, schedule = 'cosine', warmup = 0, decay = 0, type = 'f32' } = options;
  const { matrices, recompute = false } = options;
  /** @type {Record<string, string | number>} */
  const others = {
    rank: number('rank', rank, 1, MOST_RANK, true),
    alpha: single('alpha', alpha, 1e-3, 1e6),
    rate: single('rate', rate, 1e-9, 1),
    schedule: oneOf('schedule', schedule, ['cosine', 'linear', 'constant']),
    warmup: single('warmup', warmup, 0, 1),
    decay: single('decay', decay, 0, 10),
    adapter_type: oneOf('type', type, ['f32', 'f16', 'bf16']),
    recompute: recompute ? 1 : 0,
  };
  if (matrices !== undefined) others.matrices = namesOf(matrices);
  return others;
}

/** @param {unknown} matrices */
function namesOf(matrices) {
  const names = Array.isArray(matrices) ? matrices : text('matrices', matrices).split(',');
  for (const name of names)
    if (text('matrices', name) === '') throw new ArgumentError('matrices: a name is empty');
  return names.join(',');
}

/**
 * A number as the native program's command line takes it.
 * @param {string} name
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
const single = (name, value, least, most) => Math.fround(number(name, value, least, most));
