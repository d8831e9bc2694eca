// How fast this device is: a layer of random weights, as wide as that of a model of a billion
// parameters, is made, loaded and run for some types, in about a second.
import { AbortError } from './generated.js';
import { loadModel } from './loader.js';
import { breathe } from './platform.js';
import { Session } from './session.js';

/** @import { Emit, Watch } from './engine.js' */
/** @import { Machine } from './variants.js' */

const SHAPE = '2048,1,32,8,8192,259';
const PARAMETERS = 2048 * (2 * 64 * (32 + 8) + 3 * 8192); // of the layer
const PROMPT = 64;
const CONTEXT = 128;
const MEASURE_MS = 70; // each of the two speeds

/** Measured types, with the bits that a weight takes in memory. */
const TYPES = [
  { type: 'Q4_0', bits: 4.5 },
  { type: 'Q4_K_M', bits: 5 },
  { type: 'Q8_0', bits: 8.5 },
];

/**
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
  const speeds = [];
  for (const [i, { type, bits }] of TYPES.entries()) {
    emit({ phase: 'bench', loaded: i, total: TYPES.length });
    await breathe();
    if (watch.aborted) throw new AbortError('the measurement was aborted');
    speeds.push({ type, bits, ...(await measureLayer(machine, type)) });
  }
  emit({ phase: 'bench', loaded: TYPES.length, total: TYPES.length });
  return speeds;
}

/** @param {Machine} machine @param {string} type */
async function measureLayer(machine, type) {
  const { core, isa, parallel } = machine;
  const source = { kind: /** @type {const} */ ('synthetic'), shape: SHAPE, type, seed: 1n };
  const pull = () => Promise.reject(new Error('a synthetic model needs no bytes'));
  const how = { isa, parallel, headerOnly: false, pull, emit: () => {} };
  const { model } = await loadModel(core, [source], how);
  try {
    const loaded = { core, model, parallel, kv: /** @type {const} */ ('f16'), vocabulary: 259 };
    const session = new Session(loaded, CONTEXT);
    const tokens = Array.from({ length: PROMPT }, (_, i) => i);
    try {
      const prompt = fastest(() => {
        session.clear();
        session.step(tokens, 'last');
      });
      const token = fastest(() => {
        session.rewind(PROMPT);
        session.step([7], 'last');
      });
      return { decode: PARAMETERS / token / 1e9, prefill: (PARAMETERS * PROMPT) / prompt / 1e9 };
    } finally {
      session.destroy();
    }
  } finally {
    if (!core.dead) core.call('hb_model_destroy', model);
  }
}

/** Seconds. The fastest of several times: others may use this machine, too. @param {() => void} body */
function fastest(body) {
  let best = Infinity;
  const begun = performance.now();
  do {
    const start = performance.now();
    body();
    best = Math.min(best, performance.now() - start);
  } while (performance.now() - begun < MEASURE_MS);
  return Math.max(best, 0.005) / 1000; // some browsers' clocks stand still for a while
}
