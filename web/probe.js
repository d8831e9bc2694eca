// One kernel on random operands, for measuring it.
import { PROBE, TYPE } from './generated.js';

/** @import { Pointer } from './core.js' */
/** @import { Machine } from './variants.js' */

/**
 * What a probe runs: fields of hb_probe_options.
 * @typedef {object} ProbeOptions
 * @property {keyof typeof PROBE} kind
 * @property {keyof typeof TYPE} [type]
 * @property {number} [rows]
 * @property {number} [cols]
 * @property {number} [batch]
 */

export class Probe {
  #core;
  /** @type {Pointer} */ #pointer;

  /** @param {Machine} machine @param {ProbeOptions} options */
  constructor({ core, parallel, isa }, { kind, type = 'F32', rows = 1, cols = 1, batch = 1 }) {
    this.#core = core;
    this.#pointer = core.scope((allocate) => {
      const options = allocate(core.sizeOf('hb_probe_options'));
      core.write('hb_probe_options', options, {
        allocator: core.call('hb_wasm_allocator'),
        parallel,
        isa,
        kind: PROBE[kind],
        type: TYPE[type],
        rows,
        cols,
        batch,
      });
      return core.result('hb_probe_create', options);
    });
  }

  /** Does the work once. */
  run() {
    this.#core.call('hb_probe_run', this.#pointer);
  }

  /** Bytes of weights, memory or cache that a run reads. */
  get bytes() {
    return Number(this.#core.call('hb_probe_bytes', this.#pointer));
  }

  /** Operations that a run does, a multiplication and an addition counting as two. */
  get operations() {
    return Number(this.#core.call('hb_probe_operations', this.#pointer));
  }

  destroy() {
    if (!this.#core.dead) this.#core.call('hb_probe_destroy', this.#pointer);
  }
}
