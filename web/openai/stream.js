// A stream of chunks as the client of OpenAI gives them.
import { abortError } from '../client.js';
import { StateError } from '../generated.js';

/**
 * Chunks that can be run through once. Leaving the loop early, or `controller.abort()`, ends the
 * generation; an aborted stream just ends.
 * @template T
 */
export class ChunkStream {
  /** Its `abort()` ends the generation. */
  controller;
  #chunks;
  #consumed = false;

  /**
   * @internal
   * @param {AsyncGenerator<T, void, undefined>} chunks
   * @param {AbortController} controller
   */
  constructor(chunks, controller) {
    this.#chunks = chunks;
    this.controller = controller;
  }

  /** @returns {AsyncIterator<T, void, undefined>} */
  [Symbol.asyncIterator]() {
    if (this.#consumed) throw new StateError('a stream can be run through once only');
    this.#consumed = true;
    return this.#chunks;
  }
}

/**
 * A stream whose first chunk is there already, so that what cannot begin fails here.
 * @template T
 * @param {AsyncGenerator<T, void, undefined>} chunks
 * @param {AbortController} controller
 * @returns {Promise<ChunkStream<T>>}
 */
export async function begin(chunks, controller) {
  const first = await chunks.next();
  if (controller.signal.aborted) {
    await chunks.return();
    throw abortError(controller.signal);
  }
  return new ChunkStream(resume(first, chunks), controller);
}

/**
 * @template T
 * @param {IteratorResult<T, void>} first
 * @param {AsyncGenerator<T, void, undefined>} rest
 * @returns {AsyncGenerator<T, void, undefined>}
 */
async function* resume(first, rest) {
  try {
    if (first.done) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}
