// Which models this device is good for.
import { KNOWN_MODELS, sizesOf } from './known-models.js';
import { capabilities } from './variants.js';

/** @import { KnownModel } from './known-models.js' */
/** @import { LayerSpeed } from './layer.js' */

const CONTEXT = 4096; // positions that the memory is told for
const BESIDE = 96 << 20; // bytes of memory beside weights and context
const USABLE_SPEED = 5; // tokens/s, about as fast as people read

/**
 * A model of a well-known size and what can be expected of it here.
 * @typedef {object} Prospect
 * @property {string} name of a model of this size
 * @property {number} parameters
 * @property {string} type of the weights
 * @property {number} fileBytes about
 * @property {number} memoryBytes with a context of 4096 tokens
 * @property {number} tokensPerSecond in decoding, expected
 * @property {number} prefillTokensPerSecond in reading a prompt, expected
 * @property {boolean} fits into the memory
 * @property {boolean} fast enough
 */

/**
 * What this device can run, and how fast.
 * @typedef {object} Recommendation
 * @property {Prospect | undefined} best the largest model that fits and is fast enough
 * @property {Prospect[]} models from small to large
 * @property {{ memory: number, speed: number }} wanted bytes, and tokens a second
 * @property {LayerSpeed[]} measured
 * @property {number} threads that were used
 * @property {string | undefined} threadsReason why there is one thread only
 * @property {string} isa
 */

/**
 * @param {{ speeds: LayerSpeed[], threads: number, threadsReason: string | undefined, isa: string }}
 *   found
 * @param {{ memory?: number, speed?: number }} wanted
 * @returns {Recommendation}
 */
export function recommendFrom({ speeds, ...found }, { memory, speed = USABLE_SPEED }) {
  const { maximum, device = Infinity } = capabilities().memory;
  const wanted = { memory: Math.min(memory ?? Infinity, maximum, device), speed };
  const models = KNOWN_MODELS.flatMap((model) =>
    speeds.map((each) => prospect(model, each, wanted)),
  );
  const good = models.filter(({ fits, fast }) => fits && fast);
  return { best: good.at(-1), models, wanted, measured: speeds, ...found };
}

/**
 * A token reads the weights of every layer and the output matrix; attention and the rest are in the
 * layer's time already.
 * @param {KnownModel} model
 * @param {LayerSpeed} speed
 * @param {{ memory: number, speed: number }} wanted
 * @returns {Prospect}
 */
function prospect(model, { type, bits, decode, prefill }, wanted) {
  const { inLayers, read, parameters, kvValues } = sizesOf(model);
  const fileBytes = (parameters * bits) / 8;
  const memoryBytes = fileBytes + 2 * kvValues * CONTEXT + BESIDE;
  const tokensPerSecond = (decode * 1e9) / read;
  return {
    name: model.name,
    parameters,
    type,
    fileBytes,
    memoryBytes,
    tokensPerSecond,
    prefillTokensPerSecond: (prefill * 1e9) / inLayers,
    fits: memoryBytes <= wanted.memory,
    fast: tokensPerSecond >= wanted.speed,
  };
}
