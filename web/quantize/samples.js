// Text to calibrate with, as tokens in the module's memory.
import { ArgumentError, NO_TOKEN } from '../generated.js';
import { Tokenizer } from '../tokenizer.js';

/** @import { Core, Pointer } from '../core.js' */
/** @import { QuantizeArgs } from './options.js' */

/** @typedef {{ tokens: Pointer, samples: number, length: number }} Samples */

/**
 * @param {Core} core
 * @param {Pointer} gguf
 * @param {QuantizeArgs} options
 * @returns {Samples | undefined} none without text
 */
export function takeSamples(core, gguf, { calibration, samples, length, seed }) {
  if (calibration.length === 0) return undefined;
  const allocator = core.call('hb_wasm_allocator');
  const pointer = core.result('hb_tokenizer_create', gguf, allocator);
  if (!pointer) throw new ArgumentError('a model without a tokenizer cannot be calibrated');
  const tokenizer = new Tokenizer(core, pointer);
  const { bos, addsBos } = tokenizer.info;
  const texts = calibration.map((each) => tokenizer.tokenize({ ...each, bos: false }));
  core.call('hb_tokenizer_destroy', pointer);
  const all = texts.flat();
  return core.scope((allocate) => {
    const from = allocate(4 * all.length);
    core.putTokens(from, all);
    const plan = allocate(8);
    core.putTokens(plan, [samples, length]);
    core.check('hb_samples_plan', gguf, all.length, plan, plan + 4);
    [samples, length] = core.tokens(plan, 2);
    const drawn = seed === undefined ? 0 : allocate(8);
    if (seed !== undefined) putSeed(core, drawn, seed);
    const first = addsBos && bos !== undefined ? bos : NO_TOKEN;
    const tokens = core.allocate(4 * samples * length);
    core.call('hb_samples_take', from, all.length, samples, length, drawn, first, tokens);
    return { tokens, samples, length };
  });
}

/** @param {Core} core @param {Pointer} at @param {bigint} seed */
function putSeed(core, at, seed) {
  const { buffer, byteOffset } = core.bytes;
  new DataView(buffer, byteOffset).setBigUint64(at, seed, true);
}
