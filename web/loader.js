// Leads the bytes of a model's files through the loader of the core.
import { addAdapter, surroundingsOf as adapterSurroundings } from './adapters.js';
import { Restart } from './download/restart.js';
import { OutOfMemoryError } from './generated.js';
import { Progress } from './progress.js';
import { openSource, shardOf, sizeOf, splitCount } from './sources.js';
import { capabilities } from './variants.js';

/** @import { AdapterSource, LoadedAdapter } from './adapters.js' */
/** @import { Core, Pointer } from './core.js' */
/** @import { Emit } from './engine.js' */
/** @import { DownloadSettings, Pull, Reader, Source, Surroundings } from './sources.js' */

const STAGING = 1 << 20; // bytes of the one buffer through which everything enters the module

/**
 * @typedef {object} LoadHow
 * @property {number} isa
 * @property {Pointer} parallel the hb_parallel that packs, or 0
 * @property {boolean} headerOnly
 * @property {Pull} pull
 * @property {Emit} emit hears of progress
 * @property {DownloadSettings} [download]
 * @property {AdapterSource[]} [adapters] to be added to the model
 */

/** @typedef {{ source: Source, bytes: number }} ModelFile one file of a model */

/**
 * @param {Core} core
 * @param {Source[]} sources
 * @param {LoadHow} how
 * @returns {Promise<{ model: Pointer, makingSeconds: number, files: ModelFile[],
 *   lora: LoadedAdapter[], notKept: string | undefined }>} `makingSeconds`: part of the time, in
 *   which a synthetic model was made; `notKept`: why the cache did not keep all files that it should
 *   have
 */
export async function loadModel(core, sources, how) {
  const progress = new Progress(how.emit);
  try {
    for (let tries = 1; ; tries++) {
      try {
        const result = await readFiles(core, sources, how, progress);
        const added = await readAdapters(core, result, how, progress);
        progress.end();
        return { ...result, ...added };
      } catch (error) {
        if (!(error instanceof Restart)) throw error;
        if (tries > error.most) throw error.error;
        progress.restart();
      }
    }
  } finally {
    progress.close();
  }
}

/**
 * @param {Core} core
 * @param {Source[]} sources
 * @param {LoadHow} how
 * @param {Progress} progress
 */
async function readFiles(core, sources, how, progress) {
  const loader = createLoader(core, how);
  const staging = core.allocate(STAGING);
  /** @type {Reader[]} */
  const readers = [];
  /** @type {ModelFile[]} */
  const files = [];
  const { adapters = [] } = how;
  const surroundings = surroundingsOf(how, progress);
  const stop = new AbortController();
  const fileOf = (/** @type {number} */ shard, /** @type {number} */ count) =>
    sources[shard] ?? shardOf(sources[0], shard, count);
  const onCount = (/** @type {number} */ count) => {
    const all = count + adapters.length;
    progress.expect(all);
    if (all === 1 || how.headerOnly) return;
    const { signal } = stop;
    const sizeOfFile = (/** @type {number} */ index) => {
      if (index < count) return sizeOf(fileOf(index, count), { ...surroundings, signal });
      const { source } = adapters[index - count];
      return sizeOf(source, { ...adapterSurroundings(source, sources[0], surroundings), signal });
    };
    void learnSizes(sizeOfFile, all, signal, progress);
  };
  try {
    const said = sources.length > 1 ? sources.length : splitCount(sources[0]);
    progress.expect(said + adapters.length);
    for (let shard = 0, count = 1; shard < count; shard++) {
      const source = fileOf(shard, count);
      const reader = await openSource(source, surroundings);
      readers.push(reader);
      progress.begin(shard, reader);
      count = await readFile(core, { loader, staging, reader, ...how }, progress, (found) => {
        if (shard === 0) onCount(found);
      });
      files.push({ source, bytes: reader.size ?? stateOf(core, loader).file_size });
    }
    const makingSeconds = readers.reduce((sum, reader) => sum + (reader.makingSeconds ?? 0), 0);
    const notKept = readers.find((reader) => reader.notKept)?.notKept;
    return { model: core.result('hb_loader_finish', loader), makingSeconds, files, notKept };
  } catch (error) {
    let told = error;
    for (const { blame } of readers) told = (await blame?.(told)) ?? told;
    throw told;
  } finally {
    stop.abort();
    core.call('hb_loader_destroy', loader);
    core.release(staging, STAGING);
  }
}

/** @param {LoadHow} how @param {Progress} progress @returns {Surroundings} */
function surroundingsOf(how, progress) {
  return {
    pull: how.pull,
    headerOnly: how.headerOnly,
    settings: how.download ?? {},
    onState: (phase) => progress.enter(phase),
    onRetry: (until) => progress.wait(until),
  };
}

/**
 * Adds the adapters to a model whose files were read.
 * @param {Core} core
 * @param {{ model: Pointer, files: ModelFile[], notKept: string | undefined }} read
 * @param {LoadHow} how
 * @param {Progress} progress
 */
async function readAdapters(core, { model, files, notKept }, how, progress) {
  /** @type {LoadedAdapter[]} */
  const lora = [];
  const surroundings = surroundingsOf(how, progress);
  for (const adapter of how.adapters ?? []) {
    const index = files.length + lora.length;
    const where = { surroundings, model: files[0].source, progress, index };
    const { notKept: why, ...loaded } = await addAdapter(core, model, adapter, where);
    lora.push(loaded);
    notKept ??= why;
  }
  return { lora, notKept };
}

/**
 * Asks how large the files are that have not begun yet, one after the other while the first loads.
 * It serves the progress alone: what cannot be learned so is learned when its turn comes.
 * @param {(index: number) => ReturnType<typeof sizeOf>} sizeOfFile
 * @param {number} count
 * @param {AbortSignal} signal
 * @param {Progress} progress
 */
async function learnSizes(sizeOfFile, count, signal, progress) {
  try {
    for (let index = 1; index < count && !signal.aborted; index++) {
      const size = await sizeOfFile(index);
      if (size === undefined) return;
      progress.learn(index, size);
    }
  } catch {
    // The loading itself meets the same trouble, and tells it.
  }
}

/**
 * Reads one file of a model.
 * @param {Core} core
 * @param {{ loader: Pointer, staging: Pointer, reader: Reader, headerOnly: boolean }} how
 * @param {Progress} progress
 * @param {(count: number) => void} onHeader hears how many files the model has
 * @returns {Promise<number>} the same
 */
async function readFile(core, { loader, staging, reader, headerOnly }, progress, onHeader) {
  const buffer = () => core.bytes.subarray(staging, staging + STAGING);
  let count = 0;
  try {
    core.check('hb_loader_begin_file', loader, BigInt.asUintN(64, BigInt(reader.size ?? -1)));
    for (let n; (n = await reader.read(buffer)) > 0;) {
      core.check('hb_loader_feed', loader, staging, n);
      const { header_done, shard_count, file_offset, file_size } = stateOf(core, loader);
      if (header_done && count === 0) onHeader((count = shard_count));
      progress.advance(n, reader);
      if (!header_done) continue;
      if (!headerOnly) checkReachable(file_size);
      // What is kept or verified is read to its end, even behind the last tensor.
      if (headerOnly || (file_offset >= file_size && !reader.entire)) break;
    }
  } finally {
    await reader.close();
  }
  return Math.max(1, count);
}

/**
 * @param {Core} core
 * @param {{ isa: number, parallel: Pointer, headerOnly: boolean }} how
 * @returns {Pointer}
 */
function createLoader(core, { isa, parallel, headerOnly }) {
  return core.scope((allocate) => {
    const options = allocate(core.sizeOf('hb_load_options'));
    core.write('hb_load_options', options, {
      allocator: core.call('hb_wasm_allocator'),
      parallel,
      isa,
      header_only: headerOnly ? 1 : 0,
    });
    return core.result('hb_loader_create', options);
  });
}

/** @param {Core} core @param {Pointer} loader */
function stateOf(core, loader) {
  return core.scope((allocate) => {
    const at = allocate(core.sizeOf('hb_load_state'));
    core.call('hb_wasm_loader_state', loader, at);
    return core.read('hb_load_state', at);
  });
}

/**
 * Weights are as large in memory as in the file, or larger: what cannot fit is not fetched.
 * @param {number} bytes
 */
function checkReachable(bytes) {
  const { maximum } = capabilities().memory;
  if (bytes <= maximum) return;
  throw new OutOfMemoryError(`a file of ${bytes} bytes is more than WebAssembly can hold`);
}
