// One layer of a model, for programs that cannot run the same model: the products of its seven
// matrices there, and in halfbyte a model that is little more than such layers. What halfbyte does
// besides (attention, norms, a small output matrix) counts against it.

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

/**
 * The speeds of one of a model's equal layers.
 * @param {Visit} visit
 * @param {Layer} layer
 * @returns {Visit}
 */
export function speedOfLayer(visit, { layers }) {
  const faster = (/** @type {number} */ speed) => speed * layers;
  return {
    ...visit,
    prefill: visit.prefill.map(faster),
    decode: visit.decode.map(faster),
    details: `whole layers, ${visit.details}`,
  };
}

/**
 * The speeds of all products one after the other.
 * @param {Product[]} products
 * @param {Layer} layer
 * @param {Task} task
 * @returns {Visit}
 */
export function speedOfProducts(products, { matrices }, { prompt, passes }) {
  /** @param {number} batch */
  const speeds = (batch) =>
    Array.from({ length: passes }, (_, pass) => {
      const each = products.filter((product) => product.batch === batch).map(({ ms }) => ms[pass]);
      return (batch * 1000) / each.reduce((sum, value) => sum + value, 0);
    });
  return {
    prefill: speeds(prompt),
    decode: speeds(1),
    details: `the products of ${matrices.length} matrices, MatMulNBits`,
    raw: products,
  };
}
