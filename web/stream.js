// A generation on the caller's side: the parts of its text as they come, and its end.
import { AbortError } from './generated.js';
import { generateArgs } from './options.js';

/** @import { Conversation } from './chat/messages.js' */
/** @import { Client } from './client.js' */
/** @import { StreamEnd, StreamPart } from './index.js' */
/** @import { GenerateOptions } from './options.js' */

/**
 * @param {Client} client
 * @param {string | number[] | Conversation} prompt
 * @param {GenerateOptions} options
 * @returns {AsyncGenerator<StreamPart | StreamEnd, void, undefined>}
 */
export async function* stream(client, prompt, options) {
  const { signal, onProgress } = options;
  const args = { prompt, options: generateArgs(options) };
  const seed = args.options.sampler.seed;
  const events = new Events(onProgress);
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  const ended = client
    .call('stream', args, { signal: stop.signal, onEvent: events.push, patient: true })
    .catch((error) => {
      // Aborted before its turn came.
      if (error instanceof AbortError) return NOTHING;
      throw error;
    })
    .finally(events.close);
  ended.catch(() => {}); // told below, to whoever still listens
  try {
    yield* events.parts();
    const end = await ended;
    yield {
      text: '',
      ...end,
      seed: seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seed) : seed,
    };
  } finally {
    stop.abort();
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The end of a generation that never began. */
const NOTHING = {
  finishReason: 'abort',
  usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, droppedTokens: 0 },
  timings: { prefillMs: 0, decodeMs: 0, prefillTokensPerSecond: 0, tokensPerSecond: 0 },
};

/** Parts of a stream between their arrival and their use. */
class Events {
  /** @type {StreamPart[]} */ #parts = [];
  #onProgress;
  #closed = false;
  /** @type {(() => void) | undefined} */ #wake;

  /** @param {GenerateOptions['onProgress']} onProgress */
  constructor(onProgress) {
    this.#onProgress = onProgress;
  }

  push = (/** @type {any} */ event) => {
    if (event.phase) return this.#onProgress?.(event);
    this.#parts.push(...event.parts);
    this.#wake?.();
  };

  close = () => {
    this.#closed = true;
    this.#wake?.();
  };

  async *parts() {
    for (;;) {
      while (this.#parts.length > 0) yield /** @type {StreamPart} */ (this.#parts.shift());
      if (this.#closed) return;
      await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    }
  }
}
