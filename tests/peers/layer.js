// One layer of a model, for programs that cannot run the same model: the products of its seven
// matrices there, and in halfbyte a model that is little more than such layers. What halfbyte does
// besides (attention, norms, a small output matrix) counts against it.

import { digits, median } from './table.js';

/** @import { ModelDescription } from '../../web/index.js' */
/** @import { Task, Visit } from './protocol.js' */

/**
 * @typedef {object} Layer
 * @property {string} shape as `halfbyte synth` takes it, with few layers and a small vocabulary
 * @property {number} layers
 * @property {number} vocabulary
 * @property {Matrix[]} matrices
 */

/** @typedef {{ name: string, rows: number, cols: number }} Matrix */

/** @typedef {{ name: string, batch: number, ms: number[] }} Product milliseconds in each pass */

const MOST_LAYERS = 8;
const VOCABULARY = 512;

/** @param {Pick<ModelDescription,
 *   'width' | 'heads' | 'kvHeads' | 'headSize' | 'feedForward' | 'layers'>} model
 * @returns {Layer} */
export function layerOf({ width, heads, kvHeads, headSize, feedForward, layers }) {
  const few = Math.min(layers, MOST_LAYERS);
  return {
    shape: [width, few, heads, kvHeads, feedForward, VOCABULARY].join(),
    layers: few,
    vocabulary: VOCABULARY,
    matrices: [
      { name: 'q', rows: heads * headSize, cols: width },
      { name: 'k', rows: kvHeads * headSize, cols: width },
      { name: 'v', rows: kvHeads * headSize, cols: width },
      { name: 'output', rows: width, cols: heads * headSize },
      { name: 'gate', rows: feedForward, cols: width },
      { name: 'up', rows: feedForward, cols: width },
      { name: 'down', rows: width, cols: feedForward },
    ],
  };
}

const BYTES = 18 / 32; // of a weight in Q4_0

/**
 * What speeds come to in bytes and operations, counted alike for all.
 * @param {Visit} visit
 * @param {Layer} layer
 */
function work({ prefill, decode }, { matrices }) {
  const weights = matrices.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  const bytes = digits((weights * BYTES * median(decode)) / 1e9);
  return `${bytes} GB/s, ${digits((2 * weights * median(prefill)) / 1e9)} Gop/s in prefill`;
}

/**
 * The speeds of one of a model's equal layers.
 * @param {Visit} visit
 * @param {Layer} layer
 * @returns {Visit}
 */
export function speedOfLayer(visit, layer) {
  const faster = (/** @type {number} */ speed) => speed * layer.layers;
  const speeds = { prefill: visit.prefill.map(faster), decode: visit.decode.map(faster) };
  return { ...visit, ...speeds, details: `whole layers, ${visit.details}, ${work(speeds, layer)}` };
}

/**
 * The speeds of all products one after the other.
 * @param {Product[]} products
 * @param {Layer} layer
 * @param {Task} task
 * @returns {Visit}
 */
export function speedOfProducts(products, layer, { prompt, passes }) {
  /** @param {number} batch */
  const speeds = (batch) =>
    Array.from({ length: passes }, (_, pass) => {
      const each = products.filter((product) => product.batch === batch).map(({ ms }) => ms[pass]);
      return (batch * 1000) / each.reduce((sum, value) => sum + value, 0);
    });
  const visit = { prefill: speeds(prompt), decode: speeds(1), raw: products };
  return { ...visit, details: `MatMulNBits of its matrices, ${work(visit, layer)}` };
}
