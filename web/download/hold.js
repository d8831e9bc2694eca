/** @import { Store } from '../cache/store.js' */

/** A lock of the cache that is held from one call to another. */
export class Hold {
  #store;
  #name;
  /** @type {(() => void) | undefined} */ #release;
  /** @type {Promise<unknown> | undefined} */ #locked;

  /** @param {Store} store @param {string} name */
  constructor(store, name) {
    this.#store = store;
    this.#name = name;
  }

  get held() {
    return this.#release !== undefined;
  }

  /** Waits until nobody else has it. @param {AbortSignal} signal @returns {Promise<void>} */
  take(signal) {
    return new Promise((resolve, reject) => {
      const body = () => {
        resolve();
        return new Promise((release) => (this.#release = () => release(undefined)));
      };
      this.#locked = this.#store.lock(this.#name, { signal }, body).catch(reject);
    });
  }

  async release() {
    this.#release?.();
    this.#release = undefined;
    await this.#locked;
  }
}
