// How fast each kernel runs on operands of its own. The fastest of several runs is told: a kernel
// takes no time that is not its own.
import { MemorySpeed, stopwatch } from './bench.js';
import { AbortError, OutOfMemoryError } from './generated.js';
import { breathe } from './platform.js';
import { Probe } from './probe.js';

/** @import { Emit, Watch } from './engine.js' */
/** @import { TYPE } from './generated.js' */
/** @import { ProbeOptions } from './probe.js' */
/** @import { Machine } from './variants.js' */

/** @typedef {keyof typeof TYPE} TensorType */

/**
 * The speed of one kernel.
 * @typedef {object} KernelResult
 * @property {string} kernel
 * @property {string} type of its weights; '' if it has none
 * @property {number} rows
 * @property {number} cols
 * @property {number} batch rows of activations, or heads
 * @property {number} threads
 * @property {number} bytes that a run reads
 * @property {number} operations that it does
 * @property {number} seconds that it takes
 * @property {number} GBps 10^9 bytes a second
 * @property {number} Gops 10^9 operations a second
 * @property {number} readShare GBps in relation to plain reading of memory; 0 if that is unknown
 * @property {string} isa
 */

const KERNEL_MS = 200; // that one kernel is run for

/** As native/bench/kernels.c has them. @type {ProbeOptions[]} */
const WITHOUT_TYPE = [
  { kind: 'read', rows: 2304, cols: 4096 },
  { kind: 'read', rows: 65536, cols: 4096 },
  { kind: 'copy', rows: 65536, cols: 4096 },
  { kind: 'quantize', cols: 2048, batch: 128 },
  { kind: 'attend', rows: 4096, cols: 64, batch: 8 },
];

/** Weights in the cache and in memory, many rows of activations, packing. @type {ProbeOptions[]} */
const WITH_TYPE = [
  { kind: 'matmul', rows: 4096, cols: 4096 },
  { kind: 'matmul', rows: 65536, cols: 4096 },
  { kind: 'matmul', rows: 2048, cols: 2048, batch: 128 },
  { kind: 'pack', rows: 4096, cols: 4096 },
];

/**
 * @param {Machine} machine
 * @param {TensorType[]} types
 * @param {Emit} emit hears of progress
 * @param {Watch} watch
 * @returns {Promise<KernelResult[]>} without those that there is not enough memory for
 */
export async function measureKernels(machine, types, emit, watch) {
  const memory = new MemorySpeed(machine, Infinity);
  const read = memory.measure();
  memory.end();
  const cases = [
    ...WITHOUT_TYPE,
    ...types.flatMap((type) => WITH_TYPE.map((each) => ({ ...each, type }))),
  ];
  const results = [];
  for (const [i, options] of cases.entries()) {
    emit({ phase: 'bench', loaded: i, total: cases.length });
    await breathe();
    if (watch.aborted) throw new AbortError('the measurement was aborted');
    try {
      results.push(measureKernel(machine, options, read));
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
    }
  }
  return results;
}

/**
 * @param {Machine} machine
 * @param {ProbeOptions} options
 * @param {number} read GB/s of the memory
 * @returns {KernelResult}
 */
function measureKernel(machine, options, read) {
  const { core, threads, isa } = machine;
  const { kind, type = '', rows = 1, cols = 1, batch = 1 } = options;
  const probe = new Probe(machine, options);
  try {
    const { bytes, operations } = probe;
    const seconds = fastest(() => probe.run());
    const GBps = bytes / seconds / 1e9;
    return {
      ...{ kernel: kind, type, rows, cols, batch, threads, bytes, operations, seconds, GBps },
      Gops: operations / seconds / 1e9,
      readShare: read > 0 ? GBps / read : 0,
      isa: core.cstring(core.call('hb_isa_name', isa)),
    };
  } finally {
    probe.destroy();
  }
}

/** Seconds. @param {() => void} body */
function fastest(body) {
  const time = stopwatch(body);
  time();
  let best = Infinity;
  const begun = performance.now();
  do best = Math.min(best, time());
  while (performance.now() - begun < KERNEL_MS);
  return best;
}
