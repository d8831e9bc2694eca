// The OpenAI interface of a model: what it does is loaded with its first call.
/** @import { Model } from './index.js' */
/** @import { ChunkStream } from './openai/stream.js' */
/** @import { ChatCompletion, ChatCompletionChunk, ChatRequest, Completion, CompletionRequest, EmbeddingList, EmbeddingRequest } from './openai/types.js' */

/**
 * What a call takes besides its body.
 * @typedef {{ signal?: AbortSignal }} RequestOptions
 */

/**
 * A call that gives a whole answer or, with `stream`, its pieces.
 * @template Request, Whole, Chunk
 * @typedef {{
 *   (body: Request & { stream: true }, options?: RequestOptions): Promise<ChunkStream<Chunk>>,
 *   (body: Request & { stream?: false | null }, options?: RequestOptions): Promise<Whole>,
 *   (body: Request & { stream?: boolean | null }, options?: RequestOptions):
 *     Promise<Whole | ChunkStream<Chunk>>,
 * }} Create
 */

/**
 * A call that embeds texts.
 * @typedef {(body: EmbeddingRequest, options?: RequestOptions) => Promise<EmbeddingList>} Embed
 */

/**
 * A model behind the methods of OpenAI's client.
 * @typedef {object} OpenAI
 * @property {{ completions: { create: Create<ChatRequest, ChatCompletion, ChatCompletionChunk> } }} chat
 * @property {{ create: Create<CompletionRequest, Completion, Completion> }} completions
 * @property {{ create: Embed }} embeddings
 */

/** @typedef {(body: any, options?: RequestOptions) => Promise<any>} Call */

/** @param {Model} model @returns {OpenAI} */
export function openaiOf(model) {
  /** @type {Call} */
  const chat = async (body, options) =>
    (await import('./openai/completions.js')).chat(model, body, options);
  /** @type {Call} */
  const complete = async (body, options) =>
    (await import('./openai/completions.js')).complete(model, body, options);
  /** @type {Call} */
  const embed = async (body, options) =>
    (await import('./openai/embeddings.js')).embed(model, body, options);
  return Object.freeze({
    chat: { completions: { create: chat } },
    completions: { create: complete },
    embeddings: { create: embed },
  });
}
