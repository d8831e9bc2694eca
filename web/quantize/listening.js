// What the module tells of its work: the tensors as they are done, and how far it is.
import { ruleFor } from './rules.js';

/** @import { Core, Pointer } from '../core.js' */
/** @import { QuantizeArgs, QuantizeProgress, QuantizedTensor } from './options.js' */
/** @import { EmitChunk } from './work.js' */

const INTERVAL = 50; // ms between two reports: at most 20 a second, and one for each tensor

/** Types of fewer than 4 bits a value. */
const EXPERIMENTAL = ['Q2_K', 'Q3_K', 'TQ1_0', 'TQ2_0', 'TABLE3', 'INT2_64'];

export class Listening {
  /** @type {QuantizedTensor[]} */ tensors = [];
  #core;
  #rules;
  #emit;
  #measures;
  #reported = -Infinity;
  /** @type {QuantizeProgress} */ #state = { phase: 'quantize', loaded: 0, total: undefined };
  /** What a budget gives. @type {Map<Pointer, { type: number, sensitivity: number }>} */ #given =
    new Map();

  /**
   * @param {Core} core
   * @param {QuantizeArgs} options
   * @param {(bytes: Uint8Array) => void} write
   * @param {EmitChunk} emit
   */
  constructor(core, options, write, emit) {
    this.#core = core;
    this.#rules = options.rules.map(([pattern, type]) => ({ fits: ruleFor(pattern), type }));
    this.#measures = options.bits > 0;
    this.#emit = emit;
    this.write = write;
  }

  choose = (/** @type {Pointer} */ tensor, /** @type {number} */ type) => {
    const { name } = this.#core.read('hb_tensor', tensor);
    const rule = this.#rules.find(({ fits }) => fits.test(name));
    return rule?.type ?? this.#given.get(tensor)?.type ?? type;
  };

  /** @type {import('./machine.js').Listener['budget']} */
  budget = (tensor, type, bytes, sensitivity) => {
    this.#given.set(tensor, { type, sensitivity });
  };

  /** @type {import('./machine.js').Listener['report']} */
  report = (at, type, bytes, error, reason, note) => {
    const core = this.#core;
    const tensor = core.read('hb_tensor', at);
    const nameOf = (/** @type {number} */ id) => core.cstring(core.call('hb_type_name', id));
    const textOf = (/** @type {Pointer} */ text) => (text ? core.cstring(text) : undefined);
    const values = tensor.dims.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b);
    /** @type {QuantizedTensor} */
    const done = {
      name: tensor.name,
      from: nameOf(tensor.type),
      to: nameOf(type),
      values,
      sourceBytes: tensor.bytes,
      bytes,
      error,
      reason: textOf(reason),
      note: textOf(note),
      sensitivity: this.#given.get(at)?.sensitivity,
    };
    this.tensors.push(done);
    this.#emit({ ...this.#state, tensor: done });
  };

  /** @type {import('./machine.js').Listener['progress']} */
  progress = (loaded, total) => {
    // A budget is measured before anything is written.
    const phase = this.#measures && this.#given.size === 0 ? 'measure' : 'quantize';
    this.#state = { phase, loaded, total: total || undefined };
    const now = performance.now();
    if (now - this.#reported < INTERVAL) return;
    this.#reported = now;
    this.#emit(this.#state);
  };

  summary() {
    const { tensors } = this;
    const sum = (/** @type {'bytes' | 'sourceBytes' | 'values'} */ what) =>
      tensors.reduce((total, tensor) => total + tensor[what], 0);
    const few = tensors.findLast(({ from, to }) => from !== to && EXPERIMENTAL.includes(to));
    return {
      sourceBytes: sum('sourceBytes'),
      bitsPerWeight: (8 * sum('bytes')) / Math.max(1, sum('values')),
      experimental: few?.to,
      tensors,
    };
  }
}
