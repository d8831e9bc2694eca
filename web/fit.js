// What a model will take here, from its header alone: memory, disk, whether it fits, and what to
// change if it does not.
import { KV } from './generated.js';
import { sessionMemory } from './session.js';
import { THREAD_STACK, capabilities } from './variants.js';

/** @import { Loaded } from './session.js' */

const KV_BLOCK = 32; // positions
const LEAST_CONTEXT = 512; // positions, of a context that is of use
const FIXED_BYTES = 4 << 20; // data, stack, the buffer that files pass, what the heap takes ahead
const MOST_BLOCK = 0xf0000000; // bytes that can be had at once, as a context is (wasm/heap.c)

/** Bits that a weight takes in memory, where 2 and 3 bits are widened. Best first. */
const TYPES = [
  { type: 'Q8_0', bits: 8.5 },
  { type: 'Q6_K', bits: 6.57 },
  { type: 'Q5_K_M', bits: 5.8 },
  { type: 'Q4_K_M', bits: 5 },
  { type: 'Q4_0', bits: 4.51 },
];

/**
 * Bytes of memory that a model takes.
 * @typedef {object} MemoryNeed
 * @property {number} weights
 * @property {number} context keys and values of all positions
 * @property {number} scratch of computing
 * @property {number} module code's data, tokenizer, threads
 * @property {number} total
 * @property {number} available that there can be; what other pages and programs use is not known
 */

/**
 * What can be changed to make a model fit: options of `load`, or another type of the weights.
 * @typedef {object} Change
 * @property {number} [contextLength]
 * @property {'f16'} [kv]
 * @property {number} [threads]
 * @property {string} [type]
 */

/**
 * What the header and the options say.
 * @typedef {object} Stock
 * @property {number} parameters
 * @property {number} contextLength
 * @property {'f16' | 'f32'} kv
 * @property {number} threads
 * @property {MemoryNeed} memory
 */

/**
 * The memory that a model of which only the header was loaded will take.
 * @param {Loaded} loaded
 * @param {{ contextLength: number, threads: number, weightBytes: number }} how
 * @returns {MemoryNeed}
 */
export function memoryNeed(loaded, { contextLength, threads, weightBytes }) {
  const { core } = loaded;
  const session = sessionMemory(loaded, contextLength);
  // The cache is what doubles with the width of its values.
  const [half, full] = /** @type {(keyof typeof KV)[]} */ (['f16', 'f32']).map((kv) =>
    sessionMemory({ ...loaded, kv }, contextLength),
  );
  const context = (full - half) * (loaded.kv === 'f16' ? 1 : 2);
  const module = FIXED_BYTES + core.call('hb_wasm_heap_used') + (threads - 1) * THREAD_STACK;
  const { maximum, device } = capabilities().memory;
  return {
    weights: weightBytes,
    context,
    scratch: session - context,
    module,
    total: weightBytes + session + module,
    available: Math.min(maximum, device ?? Infinity),
  };
}

/** Whole positions of the cache that so many bytes hold. @param {Stock} stock @param {number} bytes */
function positionsIn({ contextLength, memory }, bytes) {
  const blocks = Math.ceil(contextLength / KV_BLOCK);
  return Math.floor(bytes / (memory.context / blocks)) * KV_BLOCK;
}

/**
 * What to change so that a model fits into the memory, the least loss first.
 * @param {Stock} stock
 * @returns {{ change: Change, advice: string } | undefined} none where it fits as it is
 */
export function fitMemory(stock) {
  const { contextLength, kv, threads, memory } = stock;
  const { weights, context, scratch, total, available } = memory;
  const excess = Math.max(total - available, context + scratch - MOST_BLOCK);
  if (excess <= 0) return undefined;
  if (total - available === excess && excess <= (threads - 1) * THREAD_STACK)
    return { change: { threads: 1 }, advice: 'Load it with `threads: 1`.' };
  if (kv === 'f32' && excess <= context / 2)
    return { change: { kv: 'f16' }, advice: "Load it with `kv: 'f16'`." };
  /** @type {Change} */
  const half = kv === 'f32' ? { kv: 'f16' } : {};
  const room = (context - excess) * (kv === 'f32' ? 2 : 1);
  const positions = room > 0 ? positionsIn(stock, room) : 0;
  if (positions >= Math.min(LEAST_CONTEXT, contextLength))
    return {
      change: { ...half, contextLength: positions },
      advice: `Load it with \`contextLength: ${positions}\` instead of ${contextLength}.`,
    };
  return smallerModel(stock, total - weights - context);
}

/**
 * @param {Stock} stock
 * @param {number} rest bytes that are neither weights nor context
 */
function smallerModel({ parameters, contextLength, kv, memory }, rest) {
  const { weights, context, available } = memory;
  const positions = Math.min(contextLength, LEAST_CONTEXT);
  const least = (context / contextLength) * positions * (kv === 'f32' ? 0.5 : 1);
  const room = available - rest - least;
  const bits = (8 * room) / parameters;
  const now = (8 * weights) / parameters;
  const found = TYPES.find((each) => each.bits <= bits && each.bits < now);
  const { bits: fewest } = TYPES[TYPES.length - 1];
  if (found)
    return {
      change: { type: found.type, contextLength: positions },
      advice:
        `Take a file of this model in ${found.type} (about ` +
        `${gigabytes((parameters * found.bits) / 8)}), with \`contextLength: ${positions}\`.`,
    };
  if (room <= 0) return { change: {}, advice: 'There is too little memory for any model of its kind.' };
  return {
    change: {},
    advice:
      `Take a smaller model: of at most ${((8 * room) / fewest / 1e9).toPrecision(2)} billion ` +
      'parameters in Q4_0.',
  };
}

/** @param {number} bytes */
export function gigabytes(bytes) {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/**
 * Says what a model takes, for an error.
 * @param {MemoryNeed} memory
 */
export function describeNeed({ total, weights, context, available }) {
  return (
    `it takes ${gigabytes(total)} (weights ${gigabytes(weights)}, context ${gigabytes(context)}) ` +
    `and ${gigabytes(available)} can be had`
  );
}
