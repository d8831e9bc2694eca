// Models with random weights and the shape of a known one, for measuring. A module of its own makes
// them: who only runs models never fetches it.
import { Core } from './core.js';
import { compileModule, makeMemory } from './variants.js';

/** @import { Reader } from './sources.js' */

const MODULE = () => new URL('../build/wasm/halfbyte-synthetic.wasm', import.meta.url);
const PIECE = 1 << 18; // bytes made at a time: they stay in the cache until they are read

/**
 * A model of a known shape with random weights.
 * @typedef {object} SyntheticModel
 * @property {string} shape a known shape's name, such as 'llama-3.2-1b', or its sizes: width,
 *   layers, heads, KV heads, feed-forward, vocabulary as 'E,L,H,KV,F,V'
 * @property {string} [type] of the matrices, or a mixture such as 'q4_k_m'; 'q4_0' unless given
 * @property {number | bigint} [seed] of the weights; 1 unless given
 */

/**
 * A reader of the file that such a model would be.
 * @param {{ shape: string, type: string, seed: bigint }} model
 * @returns {Promise<Reader>}
 */
export async function openSynthetic({ shape, type, seed }) {
  const begun = performance.now();
  const memory = makeMemory(false);
  const module = await compileModule(MODULE());
  const core = new Core(await WebAssembly.instantiate(module, { env: { memory } }), memory);
  const piece = core.allocate(PIECE);
  const synthetic = core.scope((allocate) => {
    const [shapeText, typeText] = [shape, type].map((text) => core.putText(allocate, `${text}\0`));
    const allocator = core.call('hb_wasm_allocator');
    return core.result('hb_synthetic_create', allocator, shapeText.data, typeText.data, seed);
  });
  /** @type {Reader} */
  const reader = {
    size: Number(core.call('hb_synthetic_size', synthetic)),
    makingSeconds: (performance.now() - begun) / 1000,
    read: async (into) => {
      const start = performance.now();
      const buffer = into();
      const most = Math.min(buffer.length, PIECE);
      const count = core.call('hb_synthetic_read', synthetic, piece, most);
      buffer.set(core.bytes.subarray(piece, piece + count));
      reader.makingSeconds = (reader.makingSeconds ?? 0) + (performance.now() - start) / 1000;
      return count;
    },
    close: async () => {}, // the instance goes with this reader
  };
  return reader;
}
