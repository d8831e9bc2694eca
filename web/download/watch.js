// Watches over one request: ends it when it hangs or is not wanted any more, and says why it failed.
import { NetworkError } from '../error.js';
import { aborted } from './retry.js';

/** Ends a request that says nothing for too long, or that nobody wants any more. */
export class Watch {
  #controller = new AbortController();
  #url;
  #outer;
  #stall;
  #stalled = false;
  #onAbort = () => this.close();

  /** @param {string} url @param {AbortSignal} outer @param {number} stall */
  constructor(url, outer, stall) {
    this.#url = url;
    this.#outer = outer;
    this.#stall = stall;
    outer.addEventListener('abort', this.#onAbort, { once: true });
    if (outer.aborted) this.close();
  }

  get signal() {
    return this.#controller.signal;
  }

  /** @template T @param {Promise<T>} step @returns {Promise<T>} */
  async over(step) {
    const timer = setTimeout(() => {
      this.#stalled = true;
      this.close();
    }, this.#stall);
    try {
      return await step;
    } catch (cause) {
      if (this.#outer.aborted) throw aborted(this.#outer);
      const why = this.#stalled ? `nothing came for ${this.#stall / 1000} s` : reason(cause);
      throw new NetworkError(`${this.#url} could not be fetched: ${why}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  close() {
    this.#outer.removeEventListener('abort', this.#onAbort);
    this.#controller.abort();
  }
}

/** @param {unknown} error */
function reason(error) {
  if (!(error instanceof Error)) return String(error);
  // fetch of Node hides the reason in the cause.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
