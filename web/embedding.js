// Vectors of texts: the states behind a model's last norm, pooled.
import { ContextFullError } from './generated.js';
import { breathe } from './platform.js';
import { Stride } from './scoring.js';
import { Session } from './session.js';

/** @import { Emit } from './engine.js' */
/** @import { Loaded } from './session.js' */

/**
 * @typedef {object} EmbedArgs
 * @property {(string | number[])[]} texts
 * @property {'mean' | 'last'} pooling
 * @property {boolean} normalize
 * @property {boolean} special
 */

/**
 * A vector for each text.
 * @param {Loaded} loaded
 * @param {number[][]} texts tokens, at least one each
 * @param {{ pooling: 'mean' | 'last', normalize: boolean, width: number, most: number }} how `most`:
 *   tokens that a text may have
 * @param {Emit} emit hears of progress
 * @param {() => void} check throws if the work was aborted
 * @returns {Promise<Float32Array[]>}
 */
export async function embedTexts(loaded, texts, { pooling, normalize, width, most }, emit, check) {
  const longest = texts.reduce((length, text) => Math.max(length, text.length), 0);
  const tooLong = texts.findIndex((text) => text.length > most);
  if (tooLong >= 0)
    throw new ContextFullError(
      `text ${tooLong} has ${texts[tooLong].length} tokens and the context ${most}: split it, or ` +
        'load the model with a larger contextLength',
    );
  if (texts.length === 0) return [];
  const total = texts.reduce((sum, text) => sum + text.length, 0);
  const rows = pooling === 'mean' ? Math.min(Session.BATCH, longest) : 1;
  const session = new Session(loaded, longest, rows, true);
  const stride = new Stride();
  const vectors = [];
  let loadedTokens = 0;
  try {
    for (const text of texts) {
      const sums = new Float64Array(width);
      session.clear();
      for (let at = 0; at < text.length;) {
        await breathe();
        check();
        const step = stride.run((count) => {
          const part = text.slice(at, at + count);
          const last = at + part.length === text.length;
          session.step(part, pooling === 'mean' ? 'all' : last ? 'last' : 'none');
          return part.length;
        });
        at += step;
        loadedTokens += step;
        if (pooling === 'mean' || at === text.length)
          for (let row = 0; row < (pooling === 'mean' ? step : 1); row++)
            session.hidden(row, width).forEach((value, i) => (sums[i] += value));
        emit({ phase: 'embed', loaded: loadedTokens, total });
      }
      vectors.push(vector(sums, pooling === 'mean' ? text.length : 1, normalize));
    }
    return vectors;
  } finally {
    session.destroy();
  }
}

/** @param {Float64Array} sums @param {number} count @param {boolean} normalize */
function vector(sums, count, normalize) {
  const length = Math.sqrt(sums.reduce((sum, each) => sum + each * each, 0));
  const divisor = normalize ? length || 1 : count;
  return Float32Array.from(sums, (each) => each / divisor);
}
