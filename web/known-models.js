// Shapes of well-known models, from their configurations, for saying what a device is good for.

/**
 * @typedef {object} KnownModel
 * @property {string} name
 * @property {number} width
 * @property {number} layers
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headSize
 * @property {number} feedForward
 * @property {number} vocabulary
 * @property {boolean} [ownOutput] whether the output matrix is not the embedding's
 */

/** @type {(name: string, ...sizes: number[]) => KnownModel} */
const model = (name, width, layers, heads, kvHeads, headSize, feedForward, vocabulary) => ({
  ...{ name, width, layers, heads, kvHeads, headSize, feedForward, vocabulary },
});

/** From small to large. */
export const KNOWN_MODELS = [
  model('SmolLM2-135M', 576, 30, 9, 3, 64, 1536, 49152),
  model('SmolLM2-360M', 960, 32, 15, 5, 64, 2560, 49152),
  model('Qwen3-0.6B', 1024, 28, 16, 8, 128, 3072, 151936),
  model('Llama-3.2-1B', 2048, 16, 32, 8, 64, 8192, 128256),
  model('Qwen3-1.7B', 2048, 28, 16, 8, 128, 6144, 151936),
  model('Llama-3.2-3B', 3072, 28, 24, 8, 128, 8192, 128256),
  model('Qwen3-4B', 2560, 36, 32, 8, 128, 9728, 151936),
  { ...model('Llama-3.1-8B', 4096, 32, 32, 8, 128, 14336, 128256), ownOutput: true },
];

/** @param {KnownModel} model */
export function sizesOf({ width, layers, heads, kvHeads, headSize, feedForward, ...rest }) {
  const layer = 2 * width * headSize * (heads + kvHeads) + 3 * width * feedForward;
  const table = rest.vocabulary * width;
  return {
    /** Weights in the layers. */
    inLayers: layers * layer,
    /** Weights that decoding a token reads. */
    read: layers * layer + table,
    parameters: layers * layer + (rest.ownOutput ? 2 : 1) * table,
    /** Keys and values of a position. */
    kvValues: 2 * layers * kvHeads * headSize,
  };
}
