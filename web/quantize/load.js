// Quantizing while loading: the model that is loaded is the result, which the cache keeps where it
// can, so that it is made once.
import { openEntry } from '../cache/entry.js';
import { IntegrityError, QuotaError } from '../error.js';
import { ArgumentError, IoError } from '../generated.js';
import { resolveSources } from '../resolve.js';
import { identityOf, storeOf } from './kept.js';
import { commonCall, runQuantize } from './quantize.js';
import { openSink } from './sinks.js';

/** @import { Store } from '../cache/store.js' */
/** @import { Local } from '../client.js' */
/** @import { LoadOptions, ModelSource } from '../options.js' */
/** @import { Source } from '../sources.js' */
/** @import { Quantization } from './options.js' */
/** @import { QuantizeCall } from './work.js' */

/**
 * How a model was quantized that was loaded with `quantize`.
 * @typedef {object} LoadedQuantization
 * @property {string | undefined} asIs why it was not: the file is quantized already, and was loaded
 *   as it is
 * @property {boolean} cached whether it had been made before
 * @property {Quantization | undefined} report what was done, unless it had been before
 */

/** @typedef {{ sources: Source[], locals: Local[] }} Resolved */

/**
 * @template T
 * @param {ModelSource | ModelSource[]} given
 * @param {LoadOptions} options with `quantize`
 * @param {(resolved: Resolved) => Promise<T>} loadFrom
 * @returns {Promise<{ loaded: T, quantization: LoadedQuantization, notKept: string | undefined }>}
 */
export async function loadQuantized(given, options, loadFrom) {
  const source = await repeatable(given);
  for (let healed = false; ; healed = true) {
    const made = await make(source, options);
    try {
      const loaded = await loadFrom(made.resolved);
      return { loaded, quantization: made.quantization, notKept: made.notKept };
    } catch (error) {
      // What was kept is damaged and gone: it is made anew.
      if (!made.kept || healed || !(error instanceof IntegrityError)) throw error;
    }
  }
}

/** A stream is read twice if it turns out to be quantized already. @param {ModelSource | ModelSource[]} source */
async function repeatable(source) {
  const each = (/** @type {ModelSource} */ one) =>
    one instanceof ReadableStream ? new Response(/** @type {BodyInit} */ (one)).blob() : one;
  return Array.isArray(source) ? Promise.all(source.map(each)) : each(source);
}

/**
 * @typedef {object} Made
 * @property {Resolved} resolved what is to be loaded
 * @property {LoadedQuantization} quantization
 * @property {boolean} [kept] whether it lies in the cache
 * @property {string} [notKept] why it does not, where it was to
 */

/** @param {ModelSource | ModelSource[]} source @param {LoadOptions} options @returns {Promise<Made>} */
async function make(source, options) {
  const { quantize, cache } = options;
  const wanted = typeof quantize === 'string' ? { type: quantize } : quantize;
  if (typeof wanted !== 'object' || wanted === null)
    throw new ArgumentError(`quantize is a type, or options, not ${quantize}`);
  const common = await commonCall(wanted, options);
  const { sources, locals } = await resolveSources(source, options);
  /** @type {QuantizeCall} */
  const call = { ...common, sources, quantized: 'leave' };
  const identity = cache === false ? undefined : await identityOf(call, options.hub);
  /** @type {string | undefined} */
  let notKept;
  if (identity !== undefined) {
    const store = await storeOf(call.download);
    try {
      if (store.kind === 'memory') throw new IoError(`nothing can be kept here: ${store.reason}`);
      return await makeKept(source, { ...call, locals, identity, store }, options);
    } catch (error) {
      if (cache !== undefined || !(error instanceof QuotaError || error instanceof IoError))
        throw error;
      notKept = error.message;
    }
  }
  return { ...(await makeBlob(source, { ...call, locals }, options)), notKept };
}

/**
 * @param {ModelSource | ModelSource[]} source
 * @param {QuantizeCall & { locals: Local[], identity: string, store: Store }} call
 * @param {LoadOptions} options
 * @returns {Promise<Made>}
 */
async function makeKept(source, { locals, identity, store, ...call }, options) {
  /** @type {Resolved} */
  const resolved = { sources: [{ kind: 'kept', identity }], locals: [] };
  if ((await openEntry(store, identity)).complete)
    return { resolved, kept: true, quantization: quantization(undefined) };
  const keep = { identity, url: identity.slice(identity.indexOf('):') + 2) };
  const outcome = await runQuantize({ ...call, keep }, { locals, options: forward(options) });
  if ('asIs' in outcome) return leave(source, options, outcome.asIs);
  const report = 'done' in outcome ? outcome.done : undefined;
  return { resolved, kept: true, quantization: quantization(report) };
}

/**
 * @param {ModelSource | ModelSource[]} source
 * @param {QuantizeCall & { locals: Local[] }} call
 * @param {LoadOptions} options
 * @returns {Promise<Made>}
 */
async function makeBlob(source, { locals, ...call }, options) {
  const sink = await openSink(undefined);
  const outcome = await runQuantize(call, { locals, sink, options: forward(options) });
  if ('asIs' in outcome) return leave(source, options, outcome.asIs);
  const resolved = await resolveSources(/** @type {Blob} */ (await sink.end()));
  return { resolved, quantization: quantization('done' in outcome ? outcome.done : undefined) };
}

/** @param {Quantization | undefined} report none of what had been made before @returns {LoadedQuantization} */
function quantization(report) {
  return { asIs: undefined, cached: report === undefined, report };
}

/**
 * @param {ModelSource | ModelSource[]} source
 * @param {LoadOptions} options
 * @param {string} reason
 * @returns {Promise<Made>}
 */
async function leave(source, options, reason) {
  const resolved = await resolveSources(source, options);
  return { resolved, quantization: { asIs: reason, cached: false, report: undefined } };
}

/** What a listener of `load` hears of quantizing. @param {LoadOptions} options */
function forward({ signal, onProgress }) {
  return {
    signal,
    onProgress: (/** @type {any} */ { tensor, ...progress }) => {
      if (!tensor) onProgress?.(progress);
    },
  };
}
