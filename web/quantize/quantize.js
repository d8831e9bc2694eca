// The caller's side of quantizing: a worker of its own for each piece of work, which ends with it.
import { Client, abortError } from '../client.js';
import { ArgumentError } from '../generated.js';
import { resolveSources } from '../resolve.js';
import { capabilities } from '../variants.js';
import { quantizeArgs, workOptions } from './options.js';
import { openSink } from './sinks.js';
import { newRun, sweep } from './temporary.js';

/** @import { Local } from '../client.js' */
/** @import { ModelSource } from '../options.js' */
/** @import { Source } from '../sources.js' */
/** @import { Quantization, QuantizeMethodOptions, QuantizeOptions, QuantizeProgress } from './options.js' */
/** @import { Sink } from './sinks.js' */
/** @import { QuantizeCall, QuantizeOutcome } from './work.js' */

/**
 * @param {ModelSource | ModelSource[]} source
 * @param {QuantizeOptions} options
 * @returns {Promise<Quantization & { blob?: Blob }>}
 */
export async function quantizeModel(source, options) {
  const { imatrix, gradients, allowRequantize = false } = options;
  if ([options.calibration, imatrix, gradients].filter((given) => given !== undefined).length > 1)
    throw new ArgumentError('quantize takes one of `calibration`, `imatrix` and `gradients`');
  const call = {
    ...(await commonCall(options, options)),
    quantized: allowRequantize ? 'take' : 'refuse',
  };
  const { sources, locals } = await resolveSources(source, options);
  const given = imatrix ?? gradients;
  const second = given === undefined ? undefined : await behind(given, locals, options.hub);
  const measured = imatrix === undefined ? { gradients: second } : { imatrix: second };
  const sink = await openSink(options.to);
  const args = /** @type {QuantizeCall} */ ({ ...call, sources, ...measured });
  const { done } = /** @type {{ done: Quantization }} */ (
    await runQuantize(args, { locals, sink, options })
  );
  const blob = await sink.end();
  return blob ? { ...done, blob } : done;
}

/**
 * What every call has.
 * @param {QuantizeMethodOptions} how
 * @param {Parameters<typeof workOptions>[0]} work
 * @returns {Promise<Omit<QuantizeCall, 'sources' | 'quantized'>>}
 */
export async function commonCall(how, work) {
  return { options: await quantizeArgs(how), ...workOptions(work), run: newRun() };
}

/**
 * An importance or gradient file is one more source, whose number follows those of the model.
 * @param {ModelSource} given
 * @param {Local[]} locals
 * @param {string} [hub]
 * @returns {Promise<Source>}
 */
async function behind(given, locals, hub) {
  const { sources, locals: more } = await resolveSources(given, { hub });
  const [source] = sources;
  if (source.kind === 'pull') source.number += locals.length;
  locals.push(...more);
  return source;
}

/**
 * Runs a call in a worker of its own. Whatever it ends with, nothing temporary stays.
 * @param {QuantizeCall} call
 * @param {{ locals: Local[], sink?: Sink, options: {
 *   signal?: AbortSignal, onProgress?: (progress: QuantizeProgress) => void } }} how
 * @returns {Promise<QuantizeOutcome>}
 */
export async function runQuantize(call, { locals, sink, options: { signal, onProgress } }) {
  const intake = sink && new Intake(sink);
  /** @type {Client | undefined} */
  let client;
  try {
    if (signal?.aborted) throw abortError(signal);
    client = new Client(locals);
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    /** @type {unknown} */
    let failure;
    intake?.onFailure((error) => {
      failure = error;
      stop.abort();
    });
    const onEvent = (/** @type {any} */ event) =>
      event.chunk ? intake?.take(event.chunk) : onProgress?.(event);
    try {
      const args = { ...call, flow: intake?.flow };
      const outcome = await client.call('quantize', args, { signal: stop.signal, onEvent });
      await intake?.settled();
      if (failure) throw failure;
      return outcome;
    } catch (error) {
      throw failure ?? error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  } catch (error) {
    await client?.end();
    await sink?.abort(error);
    await sweep(call.run, call.download, call.keep?.identity).catch(() => {});
    throw error;
  } finally {
    await client?.end();
  }
}

/** Chunks on their way to a sink, one after the other. */
class Intake {
  /** Chunks that the sink has taken: tells the worker when to wait. */
  flow = capabilities().threads.available ? new SharedArrayBuffer(4) : undefined;
  #taken = this.flow && new Int32Array(this.flow);
  #sink;
  /** @type {Promise<void>} */ #last = Promise.resolve();
  /** @type {(error: unknown) => void} */ #tell = () => {};

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  /** @param {(error: unknown) => void} listener */
  onFailure(listener) {
    this.#tell = listener;
  }

  /** @param {Uint8Array} chunk */
  take(chunk) {
    this.#last = this.#last.then(async () => {
      await this.#sink.write(chunk);
      if (!this.#taken) return;
      Atomics.add(this.#taken, 0, 1);
      Atomics.notify(this.#taken, 0);
    });
    this.#last.catch(this.#tell);
  }

  /** Everything was taken. */
  settled() {
    return this.#last;
  }
}
