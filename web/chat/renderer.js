// The caller's side of the worker that runs templates: started with the first template, ended when
// one takes too long.
import { EnvironmentError, TemplateError } from '../error.js';
import { startPlainRenderer, startRenderer } from '../workers.js';

/** @import { Rendered, RenderRequest } from './template.js' */
/** @import { WorkerPort } from '../workers.js' */

const TIME_MS = 5000;

export class Renderer {
  /** @type {WorkerPort | undefined} */ #worker;
  /** @type {((message: any) => void) | undefined} */ #answer;
  /** @type {Promise<unknown>} */ #queue = Promise.resolve();
  #ended = false;

  /** @param {RenderRequest} request @returns {Promise<Rendered>} */
  render(request) {
    const rendered = this.#queue.then(() => this.#render(request));
    this.#queue = rendered.catch(() => {});
    return rendered;
  }

  /** @param {RenderRequest} request */
  async #render(request) {
    const worker = (this.#worker ??= await this.#start());
    const answer = this.#next();
    const timer = setTimeout(
      () => this.#answer?.({ type: 'late', reason: `it takes more than ${TIME_MS / 1000} s` }),
      TIME_MS,
    );
    worker.post(request);
    const { type, value, reason } = await answer;
    clearTimeout(timer);
    if (type === 'rendered') return value;
    if (type !== 'refused') await this.#stop();
    throw new TemplateError(`the chat template failed: ${reason}`);
  }

  async #start() {
    /** @type {string[]} */
    const reasons = [];
    for (const start of [startRenderer, startPlainRenderer]) {
      if (this.#ended) break;
      const worker = start();
      this.#worker = worker;
      const answer = this.#next();
      worker.listen((message) => this.#answer?.(message));
      worker.onFailure((reason) => {
        if (this.#worker !== worker) return;
        this.#worker = undefined;
        this.#answer?.({ type: 'failed', reason });
      });
      worker.hold(false); // whoever waits holds the engine
      const { type, reason } = await answer;
      if (type === 'ready') return worker;
      reasons.push(reason);
      await this.#stop();
    }
    throw new EnvironmentError(
      'the chat template cannot be run, since @huggingface/jinja was not found: use a bundler, or ' +
        `serve node_modules/@huggingface beside node_modules/halfbyte (${reasons.join('; ')})`,
    );
  }

  /** @returns {Promise<{ type: string, value?: any, reason?: any }>} what the worker says next */
  #next() {
    return new Promise((resolve) => (this.#answer = resolve));
  }

  async #stop() {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async end() {
    this.#ended = true;
    this.#answer?.({ type: 'ended', reason: 'the model was disposed of' });
    await this.#stop();
  }
}
