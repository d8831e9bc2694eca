// The model that a server answers with. One whose engine broke down is loaded anew.
import { EngineError } from '../error.js';

/** @import { Model } from '../index.js' */

export class Keeper {
  #open;
  /** @type {Promise<Model> | undefined} */ #model;

  /** @param {() => Promise<Model>} open */
  constructor(open) {
    this.#open = open;
  }

  /** @returns {Promise<Model>} */
  get() {
    if (!this.#model) {
      const model = this.#open();
      this.#model = model;
      // What could not be loaded now may be later.
      model.catch(() => this.#forget(model));
    }
    return this.#model;
  }

  /**
   * Does something with the model, and gives it up if it broke.
   * @template T
   * @param {(model: Model) => Promise<T>} use
   * @returns {Promise<T>}
   */
  async use(use) {
    const held = this.get();
    const model = await held;
    try {
      return await use(model);
    } catch (error) {
      if (error instanceof EngineError) {
        this.#forget(held);
        await model.dispose();
      }
      throw error;
    }
  }

  async close() {
    const model = await this.#model?.catch(() => undefined);
    await model?.dispose();
  }

  /** @param {Promise<Model>} model */
  #forget(model) {
    if (this.#model === model) this.#model = undefined;
  }
}
