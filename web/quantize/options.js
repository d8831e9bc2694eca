// What a caller may say about quantizing, checked and in the form that the worker takes.
import { downloadSettings } from '../download/settings.js';
import { ArgumentError, MAX_THREADS, TYPE } from '../generated.js';
import { textsOfLines } from '../jsonl.js';
import { number, seedOf, text } from '../options.js';

/** @import { ModelSource } from '../options.js' */
/** @import { DownloadSettings } from '../sources.js' */

/**
 * How a model is quantized. Without calibration text each matrix is rounded for itself (`rtn`); with
 * text, the model is quantized layer by layer, by `gptq` unless another method is named. The files
 * are those of `halfbyte quantize` with the same options, to the byte.
 * @typedef {object} QuantizeMethodOptions
 * @property {string} [type] of the matrices: q4_0, q4_k, q8_0, nf4 ..., or a mixture: q4_k_m ...
 * @property {string} [method] rtn, imatrix, gptq, awq, spqr, hqq, squeezellm, channel, smoothquant,
 *   llm.int8, zeroquant, or several joined as in awq+gptq; nf4 and fp4 name their types
 * @property {string | Record<string, string>} [tensors] other types by name, as in
 *   `{ attn_v: 'q6_k', 'ffn_down.*': 'q5_k' }`; the first part of a name that fits counts
 * @property {number} [bitsPerWeight] instead of `type`: a type for each matrix, under this budget;
 *   needs `calibration`
 * @property {string | Blob | (string | Blob)[]} [calibration] text to calibrate with, or several;
 *   a File NAME.jsonl has a text, or an object with a `text` or `prompt`, in each line, in which
 *   control tokens count as such
 * @property {number} [samples] pieces of the text that are used, evenly spread; 128 unless given
 * @property {number} [length] tokens of a piece, at most the model's context; 512 unless given
 * @property {number | bigint} [seed] draw the pieces instead of spreading them evenly
 * @property {'block' | 'token' | 'tensor' | 'tensor-max'} [activations] int8 inputs with a scale for
 *   each block or token, or a fixed one, of least error or of the largest input; the method's own
 *   unless given
 * @property {'tensor' | 'channel' | 'group' | 'block'} [granularity] of rtn: what shares a scale, for
 *   q4_0, q5_0, q8_0, q4_1 and q5_1; a block unless given
 * @property {number} [groupSize] columns of a group; 128 unless given
 * @property {number} [outliers] of spqr and squeezellm: the part of the values kept in half precision
 * @property {number} [outlierThreshold] of llm.int8: how large an input is whose column may be kept
 *   in half precision; 6 unless given
 * @property {number} [smoothAlpha] of smoothquant: the part of the inputs' range that goes to the
 *   weights, up to 1; searched unless given
 */

/**
 * Options of `quantize`.
 * @typedef {QuantizeMethodOptions & QuantizeWorkOptions} QuantizeOptions
 */

/**
 * What `quantize` takes, gives and tells.
 * @typedef {object} QuantizeWorkOptions
 * @property {string | URL | WritableStream<Uint8Array> | FileSystemFileHandle} [to] where the file
 *   goes instead of into a Blob: in Node a path, which gets its name when it is complete; a stream; a
 *   file handle, such as a page gets from `showSaveFilePicker`. In pages that are not cross-origin
 *   isolated, what a stream does not take at once waits in memory
 * @property {ModelSource} [imatrix] an importance file instead of text; the method is imatrix
 * @property {ModelSource} [gradients] of squeezellm: a gradient file of the model instead of text
 * @property {boolean} [allowRequantize] take a model that is quantized already: its errors add up
 * @property {number} [threads] as many as `capabilities()` says unless given; the result is the same
 * @property {boolean | string} [cache] as for `load`: whether what is downloaded is kept, so that it
 *   is fetched once. While it works, what it cannot read in place lies there, too
 * @property {string | string[]} [sha256] as for `load`
 * @property {Record<string, string>} [headers] as for `load`
 * @property {string} [hub] as for `load`
 * @property {(progress: QuantizeProgress) => void} [onProgress] is called at most 20 times a second,
 *   and once for each tensor
 * @property {AbortSignal} [signal] ends everything, and leaves nothing
 */

/**
 * How far quantizing is.
 * @typedef {object} QuantizeProgress
 * @property {'wait' | 'download' | 'load' | 'measure' | 'quantize'} phase whether another tab or
 *   process is waited for; the source is fetched; it is read; it is measured what each matrix needs;
 *   or the result is made
 * @property {number} loaded bytes of the source so far in this phase
 * @property {number | undefined} total bytes of the source, once it is known
 * @property {QuantizedTensor} [tensor] the one that has just been finished
 */

/**
 * What became of a tensor.
 * @typedef {object} QuantizedTensor
 * @property {string} name
 * @property {string} from its type in the source
 * @property {string} to its type in the result
 * @property {number} values
 * @property {number} sourceBytes
 * @property {number} bytes in the result
 * @property {number} error sum of squared differences over sum of squares of the values
 * @property {string} [reason] why it has another type than was chosen for it
 * @property {string} [note] what of the method could not be done to it, and why
 * @property {number} [sensitivity] about how much rounding it so disturbs the model, where a budget
 *   of bits was spent by that
 */

/**
 * What quantizing did.
 * @typedef {object} Quantization
 * @property {string | undefined} type as it was asked for
 * @property {string} method that was used
 * @property {number} bytes of the result
 * @property {number} sourceBytes of all tensors
 * @property {number} bitsPerWeight all tensors of the result counted
 * @property {{ samples: number, length: number } | undefined} calibration what was used of the text,
 *   in tokens
 * @property {string | undefined} experimental a type of fewer than 4 bits that costs quality
 * @property {number} seconds without the download
 * @property {number} threads
 * @property {string | undefined} threadsReason why there was one thread only
 * @property {QuantizedTensor[]} tensors in the order of the result
 */

/** @typedef {{ text: string, special: boolean }} CalibrationText `special`: with control tokens */

/**
 * As they travel to the worker.
 * @typedef {object} QuantizeArgs
 * @property {string | undefined} type
 * @property {string | undefined} method
 * @property {[pattern: string, type: number][]} rules
 * @property {number} bits of a budget; 0: none
 * @property {CalibrationText[]} calibration
 * @property {number} samples
 * @property {number} length
 * @property {bigint | undefined} seed
 * @property {Record<string, string | number>} others those that were given, as the core calls them
 */

const LIMIT = 1 << 20; // of samples and of their length
const LARGEST_GROUP = 1 << 16;
const NAMES_A_TYPE = /(^|\+)(nf4|fp4)(\+|$)/;
const TYPES = new Map(Object.entries(TYPE));

/**
 * @param {QuantizeMethodOptions} options
 * @returns {Promise<QuantizeArgs>}
 */
export async function quantizeArgs(options) {
  const { type, method, tensors = {}, bitsPerWeight: bits } = options;
  const { samples = 128, length = 512, seed } = options;
  const typed = type !== undefined || NAMES_A_TYPE.test(method ?? '');
  if (typed === (bits !== undefined))
    throw new ArgumentError('quantize needs a `type` or `bitsPerWeight`, and not both');
  return {
    type: type === undefined ? undefined : text('type', type),
    method: method === undefined ? undefined : text('method', method),
    rules: rulesOf(tensors),
    bits: bits === undefined ? 0 : single('bitsPerWeight', bits, 0.5, 32),
    calibration: await calibrationTexts(options.calibration ?? []),
    samples: number('samples', samples, 1, LIMIT, true),
    length: number('length', length, 16, LIMIT, true),
    seed: seed === undefined ? undefined : seedOf(seed),
    others: otherOptions(options),
  };
}

/** @param {QuantizeMethodOptions} options @returns {Record<string, string | number>} */
function otherOptions({ activations, granularity, groupSize, ...numbers }) {
  const { outliers, outlierThreshold, smoothAlpha } = numbers;
  /** @type {Record<string, string | number>} */
  const others = {};
  if (activations !== undefined) others.activations = text('activations', activations);
  if (granularity !== undefined) others.granularity = text('granularity', granularity);
  if (groupSize !== undefined)
    others.group_size = number('groupSize', groupSize, 32, LARGEST_GROUP, true);
  if (outliers !== undefined) others.outliers = single('outliers', outliers, 0, 0.5);
  if (outlierThreshold !== undefined)
    others.outlier_threshold = single('outlierThreshold', outlierThreshold, 0.01, 1e9);
  if (smoothAlpha !== undefined) others.smooth_alpha = single('smoothAlpha', smoothAlpha, 0, 1);
  return others;
}

/**
 * A number as the native program's command line takes it.
 * @param {string} name
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
const single = (name, value, least, most) => Math.fround(number(name, value, least, most));

/**
 * What `load` says about the work, too.
 * @param {Pick<QuantizeWorkOptions, 'threads' | 'cache' | 'headers' | 'hub'>} options
 * @returns {{ threads: number | undefined, download: DownloadSettings }}
 */
export function workOptions(options) {
  const { threads } = options;
  return {
    threads: threads === undefined ? undefined : number('threads', threads, 1, MAX_THREADS, true),
    download: downloadSettings(options),
  };
}

/** @param {string | Record<string, string>} tensors @returns {[string, number][]} */
function rulesOf(tensors) {
  const rules =
    typeof tensors === 'string'
      ? tensors.split(',').map((rule) => {
          const at = rule.indexOf('=');
          return [rule.slice(0, Math.max(0, at)), rule.slice(at + 1)];
        })
      : Object.entries(tensors ?? {});
  return rules.map(([pattern, name]) => {
    const type = TYPES.get(/** @type {any} */ (String(name).toUpperCase()));
    if (!pattern) throw new ArgumentError(`tensors takes rules such as attn_v=q6_k, not '${name}'`);
    if (type === undefined)
      throw new ArgumentError(
        `tensors: ${pattern} cannot become '${name}', which is no tensor type`,
      );
    return [pattern, type];
  });
}

/** @param {string | Blob | (string | Blob)[]} given @returns {Promise<CalibrationText[]>} */
async function calibrationTexts(given) {
  /** @type {CalibrationText[]} */
  const texts = [];
  for (const each of Array.isArray(given) ? given : [given]) {
    if (typeof each === 'string') texts.push({ text: each, special: false });
    else if (!(each instanceof Blob))
      throw new ArgumentError(`calibration is a text, a File, or a list of them, not ${each}`);
    else {
      const { name = '' } = /** @type {Partial<File>} */ (each);
      const content = await each.text();
      const special = name.endsWith('.jsonl'); // prompts that a template made
      texts.push({ text: special ? joinedLines(name, content) : content, special });
    }
  }
  return texts;
}

/** @param {string} name @param {string} content */
function joinedLines(name, content) {
  const lines = textsOfLines(name, content).map((line) => `${line}\n`);
  return lines.join('');
}
