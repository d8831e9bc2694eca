// Quantizing: what it does is loaded with its first call.
/** @import { ModelSource } from './options.js' */
/** @import { Quantization, QuantizeOptions } from './quantize/options.js' */

/**
 * Makes a model small: a GGUF file with its matrices in another type, the same to the byte that the
 * native program writes with these options. The source is read in pieces, where it lies or from the
 * cache, and never held whole; the result goes out as it is made.
 * @overload
 * @param {ModelSource | ModelSource[]} source as `load` takes it: a model in F32, F16 or BF16
 * @param {QuantizeOptions & { to: NonNullable<QuantizeOptions['to']> }} options
 * @returns {Promise<Quantization>}
 */
/**
 * @overload
 * @param {ModelSource | ModelSource[]} source
 * @param {QuantizeOptions & { to?: undefined }} options
 * @returns {Promise<Quantization & { blob: Blob }>}
 */
/**
 * @param {ModelSource | ModelSource[]} source
 * @param {QuantizeOptions} options
 */
export async function quantize(source, options = {}) {
  const { quantizeModel } = await import('./quantize/quantize.js');
  return quantizeModel(source, options);
}
