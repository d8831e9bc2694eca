// Lets the model write with and without the adapter, side by side.
import { defaultModel, load } from '../../web/index.js';
import { $, say } from '../chat/dom.js';

const TOKENS = 100;

export class Comparing {
  /** @type {Promise<import('../../web/index.js').Model> | undefined} */ #plain;
  /** @type {Promise<import('../../web/index.js').Model> | undefined} */ #adapted;
  #url = '';
  #stop = new AbortController();

  constructor() {
    $('comparing').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#compare();
    });
  }

  /** Takes the next adapter, or none. @param {Blob | undefined} adapter */
  async take(adapter) {
    const before = this.#adapted;
    this.#stop.abort();
    this.#adapted = adapter && load(defaultModel, { lora: adapter, threads: 1 });
    URL.revokeObjectURL(this.#url);
    this.#url = adapter ? URL.createObjectURL(adapter) : '';
    $('download').hidden = !adapter;
    $('download').href = this.#url || '#';
    $('generate').disabled = !adapter;
    $('adapted').textContent = '';
    const model = await before?.catch(() => undefined);
    await model?.dispose();
    if (adapter) await this.#compare();
  }

  async #compare() {
    const { signal } = (this.#stop = new AbortController());
    const seed = Math.floor(Math.random() * 2 ** 32);
    this.#plain ??= load(defaultModel, { threads: 1 });
    $('generate').disabled = true;
    say('comparing-status', '');
    try {
      const models = await Promise.all([this.#plain, this.#adapted]);
      const places = [$('plain'), $('adapted')];
      await Promise.all(models.map((model, i) => write(model, places[i], { seed, signal })));
    } catch (error) {
      if (!signal.aborted) say('comparing-status', error.message, true);
    } finally {
      if (!signal.aborted) $('generate').disabled = false;
    }
  }
}

/**
 * @param {import('../../web/index.js').Model} model
 * @param {HTMLElement} place
 * @param {{ seed: number, signal: AbortSignal }} how
 */
async function write(model, place, how) {
  const prompt = $('prompt').value;
  place.textContent = prompt;
  for await (const text of model.generate(prompt, { maxTokens: TOKENS, temperature: 0.7, ...how }))
    if (!how.signal.aborted) place.append(text);
}
