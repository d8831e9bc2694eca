// The caller's side of training: a worker of its own for each run, which ends with it.
import { Client, abortError } from '../client.js';
import { newRun, sweep } from '../quantize/temporary.js';
import { resolveSources } from '../resolve.js';
import { finetuneArgs } from './options.js';
import { documentsOf } from './texts.js';

/** @import { ModelSource } from '../options.js' */
/** @import { Finetuning, FinetuneOptions, TrainingText } from './options.js' */
/** @import { FinetuneCall, FinetuneOutcome } from './work.js' */

/**
 * @param {ModelSource | ModelSource[]} source
 * @param {TrainingText} text
 * @param {FinetuneOptions} options
 * @returns {Promise<Finetuning>}
 */
export async function finetuneModel(source, text, options) {
  const args = finetuneArgs(options);
  const { validation } = options;
  const documents = await documentsOf('the text', text);
  const others = validation === undefined ? [] : await documentsOf('validation', validation);
  const { sources, locals } = await resolveSources(source, options);
  const call = { sources, documents, validation: others, options: args, run: newRun() };
  const { bytes, ...outcome } = await runFinetune(call, new Client(locals), options);
  const adapter = new Blob(/** @type {BlobPart[]} */ (bytes), { type: 'application/octet-stream' });
  return { adapter, ...outcome };
}

/**
 * Whatever it ends with, nothing temporary stays.
 * @param {FinetuneCall} call
 * @param {Client} client
 * @param {FinetuneOptions} options
 * @returns {Promise<FinetuneOutcome>}
 */
async function runFinetune(call, client, { signal, stop, onProgress, onStep }) {
  const onAbort = () => void client.end(abortError(/** @type {AbortSignal} */ (signal)));
  const onEvent = (/** @type {any} */ { progress, step }) =>
    step ? onStep?.(step) : onProgress?.(progress);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    // A run that is stopped answers with what it has.
    return await client.call('finetune', call, { signal: stop, onEvent, patient: true });
  } catch (error) {
    await client.end();
    await sweep(call.run, call.options.download).catch(() => {});
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await client.end();
  }
}
