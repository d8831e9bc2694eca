// How many requests are answered at once, and how many may wait.
import { AbortError } from '../generated.js';
import { RequestError } from './errors.js';

export class Gate {
  #free;
  #most;
  /** @type {Set<() => void>} */ #waiting = new Set();

  /** @param {number} slots @param {number} queue */
  constructor(slots, queue) {
    this.#free = slots;
    this.#most = queue;
  }

  /**
   * Waits for a slot, first come first served.
   * @param {AbortSignal} signal gives up the wait
   * @returns {Promise<() => void>} frees the slot
   */
  async enter(signal) {
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    let held = true;
    return () => {
      if (held) this.#leave();
      held = false;
    };
  }

  /** @param {AbortSignal} signal @returns {Promise<void>} */
  #wait(signal) {
    if (this.#waiting.size >= this.#most)
      throw new RequestError(429, 'the server is busy: too many requests wait already', {
        code: 'queue_full',
        headers: { 'Retry-After': '5' },
      });
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.delete(enter);
        reject(new AbortError('aborted while waiting for its turn'));
      };
      const enter = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      if (signal.aborted) return giveUp();
      this.#waiting.add(enter);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Hands a slot to the one that waits longest. */
  #leave() {
    const [next] = this.#waiting;
    if (!next) return void this.#free++;
    this.#waiting.delete(next);
    next();
  }
}
