// The caller's side of a model's worker: starts it and those that compute for it, turns messages
// into promises, and makes sure that nothing waits for ever when a worker ends.
import { Renderer } from './chat/renderer.js';
import {
  EngineError,
  EnvironmentError,
  HalfbyteError,
  IntegrityError,
  NetworkError,
  NoTemplateError,
  QuotaError,
  TemplateError,
} from './error.js';
import { AbortError, STATUS_CLASSES, StateError } from './generated.js';
import { startEngine, startThread } from './workers.js';

/** @import { RenderRequest } from './chat/template.js' */
/** @import { WorkerPort } from './workers.js' */
/** @import { ErrorRecord } from './worker.js' */

/**
 * A source whose bytes stay with the caller.
 * @typedef {object} Local
 * @property {number | undefined} size if it is known; slices are asked for in order, and an empty
 *   one is the end, if not
 * @property {(offset: number, length: number) => Promise<Uint8Array>} slice
 */

/**
 * @typedef {object} Pending
 * @property {(value: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {((event: any) => void) | undefined} onEvent
 */

const CLASSES = new Map(
  [
    ...Object.values(STATUS_CLASSES),
    EngineError,
    EnvironmentError,
    IntegrityError,
    NetworkError,
    NoTemplateError,
    QuotaError,
    TemplateError,
  ].map((Class) => [Class.code, Class]),
);

export class Client {
  /** @type {WorkerPort} */ #worker;
  /** @type {WorkerPort[]} */ #threads = [];
  /** @type {Map<number, Pending>} */ #pending = new Map();
  #renderer = new Renderer();
  #nextId = 1;
  /** Why nothing can be called any more. @type {HalfbyteError | undefined} */ #ended;
  #locals;

  /** @param {Local[]} locals sources whose bytes stay here and are asked for */
  constructor(locals) {
    this.#locals = locals;
    this.#worker = startEngine();
    this.#worker.listen((message) => this.#receive(message));
    this.#worker.onFailure((reason) => this.#break(`its worker failed: ${reason}`));
  }

  /** @param {any} message */
  #receive(message) {
    // A late answer would let go of a worker whose end is waited for.
    if (this.#ended) return;
    switch (message.type) {
      case 'result':
        this.#settle(message.id)?.resolve(message.value);
        break;
      case 'error':
        this.#settle(message.id)?.reject(errorFrom(message.error));
        break;
      case 'event':
        this.#tell(message.id, message.event);
        break;
      case 'pull':
        void this.#give(message);
        break;
      case 'threads':
        void this.#startThreads(message.lines);
        break;
      case 'render':
        void this.#render(message);
        break;
      case 'broken':
        void this.end(/** @type {HalfbyteError} */ (errorFrom(message.error)));
        break;
    }
  }

  /** A caller's listener that throws ends its call. @param {number} id @param {any} event */
  #tell(id, event) {
    try {
      this.#pending.get(id)?.onEvent?.(event);
    } catch (error) {
      this.#post({ type: 'abort', id });
      this.#settle(id)?.reject(/** @type {Error} */ (error));
    }
  }

  /** @param {number} id */
  #settle(id) {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    this.#worker.hold(this.#pending.size > 0);
    return call;
  }

  /** @param {{ number: number, offset: number, length: number }} request */
  async #give({ number, offset, length }) {
    try {
      const bytes = await this.#locals[number].slice(offset, length);
      this.#worker.post({ type: 'chunk', bytes }, [bytes.buffer]);
    } catch (error) {
      this.#post({ type: 'chunk', error: String(error) });
    }
  }

  /** @param {{ number: number, request: RenderRequest }} message */
  async #render({ number, request }) {
    try {
      this.#post({ type: 'rendered', number, value: await this.#renderer.render(request) });
    } catch (error) {
      const { code, message } = /** @type {HalfbyteError} */ (error);
      this.#post({ type: 'rendered', number, error: { code, message } });
    }
  }

  /** Starts those that compute for the engine, and tells it how that went. @param {MessagePort[]} lines from the engine to each */
  async #startThreads(lines) {
    try {
      await Promise.all(lines.map((line) => this.#startThread(line)));
      this.#post({ type: 'threads' });
    } catch (error) {
      const failed = this.#threads.splice(0);
      await Promise.all(failed.map((thread) => thread.terminate()));
      this.#post({ type: 'threads', error: /** @type {Error} */ (error).message });
    }
  }

  /** @param {MessagePort} line @returns {Promise<void>} */
  #startThread(line) {
    return new Promise((resolve, reject) => {
      const thread = startThread();
      this.#threads.push(thread);
      let ready = false;
      const fail = (/** @type {string} */ reason) => {
        if (!this.#threads.includes(thread)) return;
        if (ready) this.#break(`a thread failed: ${reason}`);
        else reject(new Error(`a thread did not start: ${reason}`));
      };
      thread.onFailure(fail);
      thread.listen((message) => {
        if (message.type === 'failed') return fail(message.reason);
        ready = true;
        resolve();
      });
      thread.hold(false); // after listening, which would hold it again
      thread.post({ line }, [line]);
    });
  }

  /**
   * Calls a method of the engine. When `signal` fires, the promise rejects at once and the engine
   * stops at its next chance.
   * @param {string} method
   * @param {any} args
   * @param {{ signal?: AbortSignal, onEvent?: (event: any) => void, patient?: boolean }} [options]
   *   `patient`: leave it to the engine to answer an aborted call
   * @returns {Promise<any>}
   */
  call(method, args, { signal, onEvent, patient = false } = {}) {
    if (this.#ended) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(abortError(signal));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#post({ type: 'abort', id });
        if (!patient) this.#settle(id)?.reject(abortError(/** @type {AbortSignal} */ (signal)));
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, {
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
        onEvent,
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#worker.hold(true);
      this.#post({ type: 'call', id, method, args });
    });
  }

  /** @param {any} message */
  #post(message) {
    if (!this.#ended) this.#worker.post(message);
  }

  /** @param {string} reason */
  #break(reason) {
    void this.end(new EngineError(`the engine broke down: ${reason}; load the model anew`));
  }

  /**
   * Ends the workers; what is pending, and whatever is called later, rejects with `error`.
   * @param {HalfbyteError} [error]
   */
  async end(error = new StateError('the model was disposed of')) {
    if (this.#ended) return;
    this.#ended = error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.reject(error);
    const workers = [this.#worker, ...this.#threads.splice(0)];
    await Promise.all([this.#renderer.end(), ...workers.map((worker) => worker.terminate())]);
    this.#locals = [];
  }
}

/** @param {AbortSignal} signal */
export function abortError(signal) {
  return new AbortError('the operation was aborted', { cause: signal.reason });
}

/** @param {ErrorRecord} record */
function errorFrom({ code, message, details }) {
  const Class = CLASSES.get(code) ?? EngineError;
  return new Class(message, details);
}
