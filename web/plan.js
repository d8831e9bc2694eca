// What a model would take here, from its header alone.
import { keyOf, readManifest } from './cache/entry.js';
import { CHUNK } from './cache/manifest.js';
import { openStore } from './cache/store.js';
import { targetOf } from './download/target.js';
import { describeNeed, fitMemory, gigabytes, memoryNeed } from './fit.js';
import { DEFAULT_CONTEXT, MAX_THREADS, OutOfMemoryError } from './generated.js';
import { capabilities } from './variants.js';

/** @import { Store } from './cache/store.js' */
/** @import { EngineOptions } from './engine.js' */
/** @import { Change, MemoryNeed } from './fit.js' */
/** @import { ModelDescription } from './index.js' */
/** @import { ModelFile } from './loader.js' */
/** @import { Loaded } from './session.js' */
/** @import { DownloadSettings } from './sources.js' */

/**
 * What a model takes, before it is fetched.
 * @typedef {object} Plan
 * @property {boolean} fits into the memory and, if it would be kept there, onto the disk
 * @property {MemoryNeed} memory
 * @property {{ needed: number, available: number | undefined, kept: number }} disk bytes: `needed` of
 *   what is still to be stored, `kept` of what lies in the cache already; nothing is stored of local
 *   files
 * @property {string[]} advice what to change so that it fits; empty if it does
 * @property {Change} change the same as options of `load`, and the type that the weights should have
 * @property {ModelDescription} model
 * @property {number} fileBytes of all its files
 */

/**
 * The context and the threads that `load` would choose.
 * @param {EngineOptions} options
 * @param {number} trained positions that the model was made for
 */
export function defaultsOf({ contextLength, threads, kv }, trained) {
  const can = capabilities();
  return {
    contextLength: contextLength ?? Math.min(trained, DEFAULT_CONTEXT),
    threads: can.threads.available
      ? Math.min(threads ?? can.threads.count, MAX_THREADS)
      : 1,
    kv: kv ?? /** @type {const} */ ('f16'),
  };
}

/**
 * @param {Loaded & { files: ModelFile[] }} loaded of which there is the header only
 * @param {ModelDescription} model
 * @param {EngineOptions} options
 * @returns {Promise<Plan>}
 */
export async function planModel(loaded, model, options) {
  const { parameters, weightBytes } = model;
  const how = defaultsOf(options, model.trainedContextLength);
  const memory = memoryNeed(loaded, { ...how, weightBytes });
  const disk = await diskNeed(loaded.files, options.download);
  const fitting = fitMemory({ ...how, parameters, memory });
  const lacking = disk.needed - (disk.available ?? Infinity);
  const advice = fitting ? [fitting.advice] : [];
  if (lacking > 0)
    advice.push(
      `Free ${gigabytes(lacking)} of storage, or load it with \`cache: false\`, which keeps nothing.`,
    );
  const fileBytes = loaded.files.reduce((sum, { bytes }) => sum + bytes, 0);
  const change = fitting?.change ?? {};
  return { fits: advice.length === 0, memory, disk, advice, change, model, fileBytes };
}

/**
 * @param {ModelFile[]} files
 * @param {DownloadSettings} [settings]
 * @returns {Promise<Plan['disk']>}
 */
async function diskNeed(files, { cache, hub } = {}) {
  const none = { needed: 0, available: undefined, kept: 0 };
  const names = files.flatMap(({ source, bytes }) => {
    if (source.kind !== 'download' || !(cache ?? source.cached)) return [];
    return { identity: targetOf(source.name, hub).identity, bytes };
  });
  if (names.length === 0) return none;
  const store = await openStore({ path: typeof cache === 'string' ? cache : undefined });
  if (store.kind === 'memory') return none;
  let kept = 0;
  let needed = 0;
  for (const { identity, bytes } of names) {
    const there = await keptBytes(store, identity);
    kept += there;
    needed += Math.max(0, bytes - there);
  }
  const { used = 0, quota } = await store.space();
  return { needed, available: quota === undefined ? undefined : Math.max(0, quota - used), kept };
}

/** @param {Store} store @param {string} identity */
async function keptBytes(store, identity) {
  const manifest = await readManifest(store, await keyOf(identity));
  if (!manifest) return 0;
  const { complete, size, hashes } = manifest;
  return complete ? size : Math.min(size, hashes.filter(Boolean).length * CHUNK);
}

/**
 * The same error with what the model takes, what there is, and what to change.
 * @param {OutOfMemoryError} error
 * @param {Plan} plan
 * @param {EngineOptions} options
 * @param {number} granted bytes of memory that the module had when it could have no more
 */
export function explainShortage(error, { memory: planned, model }, options, granted) {
  const how = defaultsOf(options, model.trainedContextLength);
  const fit = (/** @type {MemoryNeed} */ memory) => {
    const found = fitMemory({ ...how, parameters: model.parameters, memory });
    return found && { memory, advice: found.advice };
  };
  // Where it should have fitted, the device has less to give than it says.
  const less = { ...planned, available: Math.min(planned.available, granted) };
  const { memory, advice } = fit(planned) ??
    fit(less) ?? { memory: planned, advice: 'Close other pages and programs.' };
  return new OutOfMemoryError(`${error.message}: ${describeNeed(memory)}. ${advice}`, {
    cause: error,
    needed: memory.total,
    available: memory.available,
  });
}
