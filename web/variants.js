// Which of the four WebAssembly modules runs here, and its instantiation.
import { Core } from './core.js';
import { EnvironmentError } from './error.js';
import { ISA, MAX_THREADS } from './generated.js';
import { isNode, nodeV8Major, readFile, systemMemory, systemThreads } from './platform.js';

const PAGE = 65536;
const INITIAL_PAGES = 64; // as the modules are linked
const MAXIMUM_PAGES = 65536;
const DEFAULT_THREADS = 8; // at most, unless asked for more: beyond, memory is the limit

/** Functions of one instruction each; whether they are valid tells whether the engine knows it. */
const PROBES = {
  // i32.const 0, i8x16.splat, i8x16.popcnt
  simd: [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
  // i32.const 0, i8x16.splat, twice, i16x8.relaxed_dot_i8x16_i7x16_s
  relaxed: [
    1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 0, 253, 15, 65, 0, 253, 15, 253, 146,
    2, 11,
  ],
  // a shared memory, i32.const 0, i32.atomic.load, drop
  threads: [
    1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11,
  ],
};

/** @param {keyof typeof PROBES} feature */
function knows(feature) {
  if (typeof WebAssembly !== 'object') return false;
  return WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...PROBES[feature]]));
}

/**
 * Whether something can be used here; if not, why not and what to do about it.
 * @typedef {{ available: boolean, reason?: string, fix?: string }} Feature
 */

/** @returns {Feature} */
function simdFeature() {
  if (knows('simd')) return { available: true };
  return {
    available: false,
    reason: 'this engine has no WebAssembly SIMD',
    fix: 'use a browser from 2023 or later, or Node 20 or later',
  };
}

/** @returns {Feature} */
function relaxedFeature() {
  const v8 = nodeV8Major();
  if (v8 > 0 && v8 < 12)
    return {
      available: false,
      reason: 'the relaxed SIMD of this Node computes wrong results',
      fix: 'use Node 22 or later',
    };
  if (knows('relaxed')) return { available: true };
  return {
    available: false,
    reason: 'this engine has no WebAssembly relaxed SIMD',
    fix: 'use a newer browser, or Node 22 or later',
  };
}

/** @returns {Feature} */
function threadsFeature() {
  if (typeof SharedArrayBuffer !== 'function' || (!isNode && !globalThis.crossOriginIsolated))
    return {
      available: false,
      reason: 'the page is not cross-origin isolated, so threads cannot share memory',
      fix:
        'serve the page over HTTPS (or from localhost) with the headers ' +
        '"Cross-Origin-Opener-Policy: same-origin" and ' +
        '"Cross-Origin-Embedder-Policy: require-corp"',
    };
  if (knows('threads')) return { available: true };
  return {
    available: false,
    reason: 'this engine has no WebAssembly threads',
    fix: 'use a newer browser',
  };
}

/**
 * What this browser or Node can do.
 * @typedef {object} Capabilities
 * @property {Feature} simd WebAssembly SIMD, without which nothing runs
 * @property {Feature} relaxedSimd faster products
 * @property {Feature & { count: number }} threads `count`: how many `load` uses unless told
 * @property {{ maximum: number, device: number | undefined }} memory `maximum`: bytes that a model
 *   and its context can use together; `device`: bytes of memory of the machine as far as it says
 * @property {Variant | undefined} variant the module that `load` tries first
 */

/**
 * Tells what this browser or Node can do, and why not and what to do where it cannot.
 * @returns {Capabilities}
 */
export function capabilities() {
  const simd = simdFeature();
  const relaxedSimd = relaxedFeature();
  const threads = threadsFeature();
  return {
    simd,
    relaxedSimd,
    threads: {
      ...threads,
      count: threads.available ? Math.min(systemThreads(), DEFAULT_THREADS) : 1,
    },
    memory: { maximum: MAXIMUM_PAGES * PAGE, device: systemMemory() },
    variant: simd.available
      ? `${relaxedSimd.available ? 'relaxed' : 'simd'}${threads.available ? '-threads' : ''}`
      : undefined,
  };
}

/** The places of the modules, spelled out for bundlers. */
const MODULES = {
  simd: () => new URL('../build/wasm/halfbyte-simd.wasm', import.meta.url),
  'simd-threads': () => new URL('../build/wasm/halfbyte-simd-threads.wasm', import.meta.url),
  relaxed: () => new URL('../build/wasm/halfbyte-relaxed.wasm', import.meta.url),
  'relaxed-threads': () => new URL('../build/wasm/halfbyte-relaxed-threads.wasm', import.meta.url),
};

/**
 * A WebAssembly module, by name.
 * @typedef {keyof typeof MODULES} Variant
 */

/** @param {URL} url @returns {Promise<WebAssembly.Module>} */
export async function compileModule(url) {
  try {
    if (url.protocol === 'file:' && isNode)
      return await WebAssembly.compile(/** @type {BufferSource} */ (await readFile(url)));
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return response.headers.get('Content-Type') === 'application/wasm'
      ? await WebAssembly.compileStreaming(response)
      : await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    throw new EnvironmentError(`the module ${url} could not be loaded: ${message(cause)}`, {
      cause,
    });
  }
}

/**
 * A memory with as high a limit as the device grants: shared memory reserves it in advance.
 * @param {boolean} shared
 */
export function makeMemory(shared) {
  for (let maximum = MAXIMUM_PAGES; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared });
    } catch (error) {
      if (maximum <= MAXIMUM_PAGES / 16) throw error;
    }
  }
}

/**
 * A worker that computes for the engine: where its stack and thread-local memory lie.
 * @typedef {{ index: number, stackTop: number, tls: number }} ThreadPlan
 * @typedef {{ module: WebAssembly.Module, memory: WebAssembly.Memory, threads: ThreadPlan[] }} Crew
 */

/**
 * What runs a model.
 * @typedef {object} Machine
 * @property {Core} core
 * @property {Variant} variant
 * @property {number} isa
 * @property {number} parallel the hb_parallel, or 0
 * @property {number} threads
 * @property {string | undefined} threadsReason why there is one thread only, if more were possible
 * @property {string[]} notes variants that were tried in vain, and why
 */

export const THREAD_STACK = 512 * 1024;

// A step with less work (bytes of weights times rows) than this is over before waiting threads are
// awake everywhere: measured with models of 0.3 to 72 MiB in Node 24 and Chromium.
const LEAST_WORK = 6 << 20;

/**
 * Makes the best machine that works here: compiles, instantiates, starts the workers and compares
 * with known answers.
 * @param {{ threads?: number, isa?: 'scalar' | 'simd128' | 'relaxed', divideAll?: boolean }} options
 * @param {(crew: Crew) => Promise<void>} startThreads
 * @returns {Promise<Machine>}
 */
export async function makeMachine({ threads, isa, divideAll }, startThreads) {
  const can = capabilities();
  if (!can.simd.available) throw unavailable(can.simd);
  if (isa === 'relaxed' && !can.relaxedSimd.available) throw unavailable(can.relaxedSimd);
  const count = Math.min(threads ?? can.threads.count, MAX_THREADS);
  /** @type {('simd' | 'relaxed')[]} */
  const bases = isa === 'relaxed' ? ['relaxed'] : isa ? ['simd'] : ['relaxed', 'simd'];
  /** @type {Variant[]} */
  const tries = [];
  for (const base of bases) {
    if (base === 'relaxed' && !can.relaxedSimd.available) continue;
    if (count > 1 && can.threads.available) tries.push(`${base}-threads`);
    tries.push(base);
  }
  /** @type {string[]} */
  const notes = [];
  /** @type {unknown} */
  let last;
  for (const variant of tries) {
    try {
      const wanted = isa === 'scalar' ? ISA.scalar : undefined;
      const machine = await build(variant, count, wanted, divideAll ?? false, startThreads);
      const threadsReason =
        machine.threads > 1 || threads === 1
          ? undefined
          : (can.threads.reason ?? notes.at(-1) ?? 'this machine has one processor');
      return { ...machine, threadsReason, notes };
    } catch (error) {
      last = error;
      notes.push(`${variant}: ${message(error)}`);
    }
  }
  throw last;
}

/**
 * A module with a memory of its own.
 * @param {URL} url
 * @param {boolean} shared whether threads will share the memory
 * @param {Record<string, Function>} [functions] that the module asks for
 * @returns {Promise<Instance>}
 */
export async function instantiate(url, shared, functions = {}) {
  const module = await compileModule(url);
  const memory = makeMemory(shared);
  const imports = { env: { ...functions, memory, now } };
  const instance = await WebAssembly.instantiate(module, /** @type {any} */ (imports));
  return { module, memory, core: new Core(instance, memory) };
}

/** @typedef {{ module: WebAssembly.Module, memory: WebAssembly.Memory, core: Core }} Instance */

/** Modules with threads time their steps. */
const now = () => performance.now();

/**
 * Starts the threads of an instance.
 * @param {Instance} instance
 * @param {{ count: number, leastWork: number }} crew
 * @param {(crew: Crew) => Promise<void>} startThreads
 * @returns {Promise<number>} the hb_parallel
 */
export async function startCrew({ module, memory, core }, { count, leastWork }, startThreads) {
  const parallel = core.call('hb_wasm_parallel', count, leastWork);
  const tls = /** @type {any} */ (core.exports.__tls_size).value;
  /** @type {ThreadPlan[]} */
  const plans = [];
  for (let index = 1; index < count; index++)
    plans.push({
      index,
      stackTop: core.allocate(THREAD_STACK) + THREAD_STACK,
      tls: core.allocate(tls),
    });
  await startThreads({ module, memory, threads: plans });
  return parallel;
}

/**
 * @param {Variant} variant
 * @param {number} count
 * @param {number | undefined} wantedIsa
 * @param {boolean} divideAll
 * @param {(crew: Crew) => Promise<void>} startThreads
 */
async function build(variant, count, wantedIsa, divideAll, startThreads) {
  const threaded = variant.endsWith('-threads');
  const instance = await instantiate(MODULES[variant](), threaded);
  const { core } = instance;
  const isa = wantedIsa ?? core.call('hb_isa_best');
  core.check('hb_selftest', isa, core.call('hb_wasm_allocator'));
  if (!threaded) return { core, variant, isa, parallel: 0, threads: 1 };
  const crew = { count, leastWork: divideAll ? 0 : LEAST_WORK };
  const parallel = await startCrew(instance, crew, startThreads);
  return { core, variant, isa, parallel, threads: count };
}

/**
 * The life of a worker: joins the crew and computes until it is terminated.
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Memory} memory
 * @param {ThreadPlan} plan
 * @param {() => void} ready
 */
export function joinCrew(module, memory, plan, ready) {
  /** @type {Record<string, any>} */
  const env = { memory, now };
  // What a module asks for besides is for its first thread.
  for (const { name } of WebAssembly.Module.imports(module)) env[name] ??= () => 0;
  const { exports } = new WebAssembly.Instance(module, { env });
  const { __stack_pointer, __wasm_init_tls, hb_wasm_worker_loop } = /** @type {any} */ (exports);
  __stack_pointer.value = plan.stackTop;
  __wasm_init_tls(plan.tls);
  ready();
  hb_wasm_worker_loop(plan.index);
}

/** @param {Feature} feature */
export function unavailable({ reason, fix }) {
  return new EnvironmentError(`${reason}; ${fix}`);
}

/** @param {unknown} error */
function message(error) {
  return error instanceof Error ? error.message : String(error);
}
