// How fast this device is: a layer of random weights, as wide as that of a model of a billion
// parameters, is made, loaded and run for some types, in about a second.
import { AbortError } from './generated.js';
import { loadModel } from './loader.js';
import { breathe } from './platform.js';
import { Session } from './session.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { Emit, Watch } from './engine.js' */
/** @import { Machine } from './variants.js' */

const SHAPE = '2048,1,32,8,8192,259'; // width, layers, heads, KV heads, feed-forward, vocabulary
const PARAMETERS = 2048 * (2 * 64 * (32 + 8) + 3 * 8192); // of the layer
const VOCABULARY = 259;
const TEXT = Array.from({ length: 64 }, (_, i) => i);
const CONTEXT = 128;
const MEASURE_MS = 700; // in rounds: engines compile a function anew when it has run for a while
const LEAST_ROUNDS = 3;
const DECODED = 4; // tokens of a round

/** Measured types, with the bits that a weight takes in memory. */
const TYPES = [
  { type: 'Q4_0', bits: 4.5 },
  { type: 'Q4_K_M', bits: 5 },
  { type: 'Q8_0', bits: 8.5 },
];

/**
 * How fast a layer of one shape and type is.
 * @typedef {object} LayerSpeed
 * @property {string} type of the weights
 * @property {number} bits that a weight takes in memory
 * @property {number} decode 10^9 weights a second in decoding
 * @property {number} prefill 10^9 weights times tokens a second in reading a prompt
 */

/**
 * @param {Machine} machine
 * @param {Emit} emit hears of progress
 * @param {Watch} watch
 * @returns {Promise<LayerSpeed[]>}
 */
export async function measureLayers(machine, emit, watch) {
  /** @type {Layer[]} */
  const layers = [];
  const turn = async (/** @type {number} */ share) => {
    emit({ phase: 'bench', loaded: Math.round(100 * Math.min(share, 1)), total: 100 });
    await breathe();
    if (watch.aborted) throw new AbortError('the measurement was aborted');
  };
  try {
    for (const { type, bits } of TYPES) {
      await turn(layers.length / TYPES.length / 2);
      layers.push(await Layer.load(machine, type, bits));
    }
    const begun = performance.now();
    for (let round = 0, share = 0; round < LEAST_ROUNDS || share < 1; round++) {
      for (const layer of layers) layer.read();
      // In turns, so that no layer's weights are still in a cache from the token before.
      for (let i = 0; i < DECODED; i++) for (const layer of layers) layer.decode(i);
      share = (performance.now() - begun) / MEASURE_MS;
      await turn(0.5 + Math.min(share, 1) / 2);
    }
    return layers.map((layer) => layer.speed);
  } finally {
    for (const layer of layers) layer.end();
  }
}

/** A model of one layer. The fastest of several times counts: others may use this machine, too. */
class Layer {
  #core;
  #model;
  #session;
  #what;
  #prompt = Infinity; // seconds
  #token = Infinity;

  /** @param {Machine} machine @param {string} type @param {number} bits */
  static async load(machine, type, bits) {
    const { core, isa, parallel } = machine;
    const source = { kind: /** @type {const} */ ('synthetic'), shape: SHAPE, type, seed: 1n };
    const pull = () => Promise.reject(new Error('a synthetic model needs no bytes'));
    const how = { isa, parallel, headerOnly: false, pull, emit: () => {} };
    const { model } = await loadModel(core, [source], how);
    return new Layer({ core, parallel, model }, { type, bits });
  }

  /**
   * @param {{ core: Core, parallel: Pointer, model: Pointer }} loaded
   * @param {{ type: string, bits: number }} what
   */
  constructor(loaded, what) {
    this.#core = loaded.core;
    this.#model = loaded.model;
    const ofLayer = { ...loaded, kv: /** @type {const} */ ('f16'), vocabulary: VOCABULARY };
    this.#session = new Session(ofLayer, CONTEXT, TEXT.length);
    this.#what = what;
  }

  /** Reads the prompt. All logits are wanted: rows without would leave the last layer halfway. */
  read() {
    this.#session.clear();
    this.#prompt = Math.min(this.#prompt, secondsOf(() => this.#session.step(TEXT, 'all')));
  }

  /** @param {number} token */
  decode(token) {
    this.#token = Math.min(this.#token, secondsOf(() => this.#session.step([token], 'last')));
  }

  /** @returns {LayerSpeed} */
  get speed() {
    const decode = PARAMETERS / this.#token / 1e9;
    const prefill = (PARAMETERS * TEXT.length) / this.#prompt / 1e9;
    return { ...this.#what, decode, prefill };
  }

  end() {
    this.#session.destroy();
    if (!this.#core.dead) this.#core.call('hb_model_destroy', this.#model);
  }
}

/** @param {() => void} body */
function secondsOf(body) {
  const begun = performance.now();
  body();
  return Math.max(performance.now() - begun, 0.005) / 1000; // some browsers' clocks tick slowly
}
