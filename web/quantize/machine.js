// The module that quantizes.
import { FileMachine } from '../file-machine.js';

/** @import { Pointer } from '../core.js' */
/** @import { Crew } from '../variants.js' */
/** @import { Writer } from '../file-machine.js' */

const MODULE = () => new URL('../../build/wasm/halfbyte-quantize.wasm', import.meta.url);

/**
 * What the module tells and asks while it works. What these throw ends the work.
 * @typedef {object} Asked
 * @property {(tensor: Pointer, type: number) => number} choose
 * @property {(tensor: Pointer, type: number, bytes: number, sensitivity: number) => void} budget
 * @property {(tensor: Pointer, type: number, bytes: number, error: number, reason: Pointer,
 *   note: Pointer) => void} report
 * @property {(done: number, total: number) => void} progress
 *
 * @typedef {Writer & Asked} Listener
 */

export class QuantizeMachine extends FileMachine {
  /** Whom the module talks to. @type {Listener | undefined} */ listener = undefined;

  /**
   * @param {number | undefined} threads
   * @param {(crew: Crew) => Promise<void>} startThreads
   * @returns {Promise<QuantizeMachine>}
   */
  static async create(threads, startThreads) {
    const machine = new QuantizeMachine();
    await machine.start(MODULE(), threads, startThreads);
    return machine;
  }

  /** What the module may call. @returns {Record<string, Function>} */
  functions() {
    const told = (/** @type {'budget' | 'report' | 'progress'} */ what) =>
      this.guarded(undefined, (...args) =>
        /** @type {Function} */ (this.listener?.[what])(...args),
      );
    return {
      ...super.functions(),
      choose: this.guarded(0, (tensor, type) => this.listener?.choose(tensor, type) ?? type),
      budget: told('budget'),
      report: told('report'),
      progress: told('progress'),
    };
  }
}
