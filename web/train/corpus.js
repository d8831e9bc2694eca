// Documents as tokens in the module's memory.
import { ArgumentError } from '../generated.js';
import { Tokenizer } from '../tokenizer.js';

/** @import { Core, Pointer } from '../core.js' */

/**
 * @typedef {object} Corpus
 * @property {number} documents
 * @property {number} count of tokens
 * @property {[tokens: Pointer, start: Pointer, documents: number]} args as functions of the module
 *   take it; it stays until the module's end
 */

/**
 * Texts with the tokens that begin and end one, as the native program has them.
 * @param {Core} core
 * @param {Pointer} gguf
 * @returns {(documents: string[]) => Corpus}
 */
export function corpusMaker(core, gguf) {
  const pointer = core.result('hb_tokenizer_create', gguf, core.call('hb_wasm_allocator'));
  if (!pointer) throw new ArgumentError('a model without a tokenizer cannot be trained on text');
  const tokenizer = new Tokenizer(core, pointer);
  const { bos, eos } = tokenizer.info;
  const first = bos === undefined ? [] : [bos];
  const last = eos === undefined ? [] : [eos];
  return (documents) => {
    const texts = documents.map((text) => [
      ...first,
      ...tokenizer.tokenize({ text, bos: false, special: false }),
      ...last,
    ]);
    return put(core, texts);
  };
}

/** @param {Core} core @param {number[][]} texts @returns {Corpus} */
function put(core, texts) {
  const count = texts.reduce((sum, { length }) => sum + length, 0);
  const tokens = core.allocate(4 * Math.max(1, count));
  const start = core.allocate(8 * (texts.length + 1));
  let at = 0;
  for (const [i, text] of texts.entries()) {
    core.putTokens(tokens + 4 * at, text);
    at += text.length;
    const { buffer, byteOffset } = core.bytes;
    new DataView(buffer, byteOffset).setBigUint64(start + 8 * (i + 1), BigInt(at), true);
  }
  core.bytes.fill(0, start, start + 8);
  return { documents: texts.length, count, args: [tokens, start, texts.length] };
}
