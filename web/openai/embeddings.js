// Embeddings in OpenAI's shapes.
import { abortError } from '../client.js';
import { nameOf } from './completions.js';
import { FieldError, Fields, texts } from './request.js';

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
  const inputs = texts(fields, 'input');
  const most = limits.inputs ?? Infinity;
  if (inputs.length > most) throw new FieldError('input', `can hold ${most} texts at most`);
  if (inputs.includes('')) throw new FieldError('input', 'must have no texts that are empty');
  const format = fields.oneOf('encoding_format', ['float', 'base64']) ?? 'float';
  const pooling = fields.oneOf('pooling', ['mean', 'last']) ?? 'mean';
  const { width } = model.info;
  if ((fields.whole('dimensions', 1, 2 ** 32) ?? width) !== width)
    throw new FieldError('dimensions', `can be ${width} only: this model gives so many`);
  if (signal?.aborted) throw abortError(signal);
  const vectors = await model.embed(inputs, { pooling, signal });
  const counts = await Promise.all(
    inputs.map(async (each) =>
      typeof each === 'string' ? (await model.tokenize(each)).length : each.length,
    ),
  );
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

/** The bytes of a vector, little-endian as every engine of WebAssembly. @param {Float32Array} vector */
function base64(vector) {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
