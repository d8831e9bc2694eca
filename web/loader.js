// Leads the bytes of a model's files through the loader of the core.
import { OutOfMemoryError } from './generated.js';
import { openSource, shardOf } from './sources.js';
import { capabilities } from './variants.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { Emit } from './engine.js' */
/** @import { Pull, Source } from './sources.js' */

const STAGING = 1 << 20; // bytes of the one buffer through which everything enters the module
const PROGRESS_MS = 50;

/**
 * @param {Core} core
 * @param {Source[]} sources
 * @param {{ isa: number, parallel: Pointer, headerOnly: boolean, pull: Pull, emit: Emit }} options
 *   `parallel`: the hb_parallel that packs, or 0; `emit` hears of progress
 * @returns {Promise<{ model: Pointer, makingSeconds: number, fileBytes: number }>} `makingSeconds`:
 *   part of the time, in which a synthetic model was made; `fileBytes`: of all files
 */
export async function loadModel(core, sources, { isa, parallel, headerOnly, pull, emit }) {
  const loader = createLoader(core, { isa, parallel, headerOnly });
  const progress = new Progress(emit);
  const staging = core.allocate(STAGING);
  const buffer = () => core.bytes.subarray(staging, staging + STAGING);
  let makingSeconds = 0;
  let fileBytes = 0;
  for (let shard = 0, count = 1; shard < count; shard++) {
    const reader = await openSource(sources[shard] ?? shardOf(sources[0], shard, count), pull);
    try {
      progress.begin(reader.size);
      core.check('hb_loader_begin_file', loader, BigInt.asUintN(64, BigInt(reader.size ?? -1)));
      for (let n; (n = await reader.read(buffer)) > 0;) {
        core.check('hb_loader_feed', loader, staging, n);
        const { header_done, shard_count, file_offset, file_size } = stateOf(core, loader);
        if (header_done) count = shard_count;
        if (header_done && !headerOnly) checkReachable(file_size);
        progress.advance(n, count > 1);
        if (header_done && (headerOnly || file_offset >= file_size)) break;
      }
      makingSeconds += reader.makingSeconds ?? 0;
    } finally {
      await reader.close();
    }
    fileBytes += stateOf(core, loader).file_size;
  }
  const model = core.result('hb_loader_finish', loader);
  core.call('hb_loader_destroy', loader);
  core.release(staging, STAGING);
  progress.end();
  return { model, makingSeconds, fileBytes };
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

/** Reports how far a load has come, at most 20 times a second, and once at the end. */
class Progress {
  #emit;
  #loaded = 0;
  /** @type {number | undefined} */ #total;
  #reported = -Infinity;

  /** @param {Emit} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** A file begins. @param {number | undefined} size */
  begin(size) {
    this.#total = this.#loaded === 0 ? size : undefined;
  }

  /** @param {number} bytes @param {boolean} split whether more files follow, of unknown sizes */
  advance(bytes, split) {
    this.#loaded += bytes;
    if (split) this.#total = undefined;
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
