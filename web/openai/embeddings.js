// Embeddings in OpenAI's shapes.
import { abortError } from '../client.js';
import { nameOf } from './completions.js';
import { FieldError, Fields } from './request.js';

/** @import { Model } from '../index.js' */
/** @import { Setting } from './completions.js' */
/** @import { EmbeddingList } from './types.js' */

/**
 * @param {Model} model
 * @param {unknown} body
 * @param {{ signal?: AbortSignal }} [request]
 * @param {Setting} [setting]
 * @returns {Promise<EmbeddingList>}
 */
export async function embed(model, body, { signal } = {}, { name, limits = {} } = {}) {
  const fields = new Fields(body);
  const texts = textsOf(fields, limits.inputs);
  const format = fields.oneOf('encoding_format', ['float', 'base64']) ?? 'float';
  const pooling = fields.oneOf('pooling', ['mean', 'last']) ?? 'mean';
  const { width } = model.info;
  if ((fields.whole('dimensions', 1, 2 ** 32) ?? width) !== width)
    throw new FieldError('dimensions', `can be ${width} only: this model gives so many`);
  if (signal?.aborted) throw abortError(signal);
  /** @type {Float32Array[]} */
  const vectors = await /** @type {any} */ (model).embed(texts, { pooling, normalize: true, signal });
  const counts = await Promise.all(texts.map(async (text) => (await model.tokenize(text)).length));
  const tokens = counts.reduce((sum, count) => sum + count, 0);
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: format === 'base64' ? base64(vector) : [...vector],
    })),
    model: nameOf(model, name),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** @param {Fields} fields @param {number} [most] @returns {string[]} */
function textsOf(fields, most = Infinity) {
  const given = fields.any('input');
  const texts = Array.isArray(given) ? given : [given];
  if (texts.length === 0 || texts.some((text) => typeof text !== 'string' || text === ''))
    throw new FieldError('input', 'must be a text, or a list of texts, that are not empty');
  if (texts.length > most) throw new FieldError('input', `can hold ${most} texts at most`);
  return texts;
}

/** The bytes of a vector, little-endian as every engine of WebAssembly. @param {Float32Array} vector */
function base64(vector) {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
