// What the parts of the page share: the model, and what it is used for.
import { load } from '../../web/index.js';

/**
 * The parts hear of a change by the event `change`, and of the end of an attempt to load something,
 * however it went, by `attempted`.
 */
export class State extends EventTarget {
  /** The loaded model. @type {import('../../web/index.js').Model | undefined} */
  model = undefined;
  name = '';
  /** What the model is used for at the moment. @type {AbortController | undefined} */
  busy = undefined;
  #loading = new AbortController();

  changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** Runs something that needs the model alone. @param {(signal: AbortSignal) => Promise<void>} body */
  async use(body) {
    if (this.busy) return;
    const mine = (this.busy = new AbortController());
    this.changed();
    try {
      await body(mine.signal);
    } finally {
      if (this.busy === mine) this.busy = undefined;
      this.changed();
    }
  }

  /**
   * Loads a model in the place of the one before.
   * @returns {Promise<boolean>} whether it is there; false if it was given up for another one
   */
  async open(source, name, options) {
    this.#loading.abort();
    this.busy?.abort();
    const mine = (this.#loading = new AbortController());
    const before = this.model;
    this.model = undefined;
    this.name = name;
    this.changed();
    await before?.dispose();
    const model = await load(source, { ...options, signal: mine.signal });
    if (mine.signal.aborted) {
      await model.dispose();
      return false;
    }
    this.model = model;
    this.changed();
    return true;
  }

  /** Gives up a load that is under way; what was downloaded is kept. */
  pause() {
    this.#loading.abort();
  }
}
