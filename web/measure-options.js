// Options of what a model measures on texts.
import { ArgumentError } from './generated.js';
import { U32, engineOptions, number, oneOf, text, tokenList } from './options.js';

/** @import { EmbedArgs } from './embedding.js' */
/** @import { ScoringArgs } from './scoring.js' */

/**
 * Options of `model.embed`.
 * @typedef {object} EmbedOptions
 * @property {'mean' | 'last'} [pooling] of the states of a text's tokens; the mean unless given
 * @property {boolean} [normalize] unless false: vectors of length 1
 * @property {boolean} [special] whether control tokens written in a text are control tokens; unless
 *   set they are plain text
 * @property {(progress: { phase: 'embed', loaded: number, total: number }) => void} [onProgress]
 *   tokens that were read
 * @property {AbortSignal} [signal]
 */

/** @param {unknown} texts @param {EmbedOptions} options @returns {EmbedArgs} */
export function embedArgs(texts, { pooling = 'mean', normalize = true, special = false }) {
  if (!Array.isArray(texts)) throw new ArgumentError('texts must be a list');
  return {
    texts: texts.map((each, i) => {
      if (typeof each === 'string') return each;
      const tokens = tokenList(each);
      if (tokens.length === 0) throw new ArgumentError(`texts[${i}] has no tokens`);
      return tokens;
    }),
    pooling: oneOf('pooling', pooling, ['mean', 'last']),
    normalize: Boolean(normalize),
    special: Boolean(special),
  };
}

/**
 * How far a measurement is.
 * @typedef {object} MeasureProgress
 * @property {'measure'} phase
 * @property {number} loaded tokens so far
 * @property {number} total tokens
 */

/**
 * Options of `model.perplexity` and `model.compare`.
 * @typedef {object} MeasureOptions
 * @property {number} [context] tokens of a chunk, of which the second half is scored; 512 unless
 *   given, or half of a text that is too short for it
 * @property {number} [chunks] at most so many; all unless given
 * @property {(progress: MeasureProgress) => void} [onProgress] is called now and then
 * @property {AbortSignal} [signal]
 */

/** @param {unknown} input @param {MeasureOptions} options @returns {ScoringArgs} */
export function scoringArgs(input, { context, chunks = 0 }) {
  return {
    text: text('the text', input),
    context: context === undefined ? 0 : number('context', context, 4, U32, true),
    chunks: number('chunks', chunks, 0, U32, true),
  };
}

/**
 * Options of `recommend`.
 * @typedef {object} RecommendOptions
 * @property {number} [memory] bytes that a model may take; what there is unless given
 * @property {number} [speed] tokens a second that it must reach; 5 unless given
 * @property {number} [threads] as many as `capabilities()` says unless given
 * @property {(progress: { phase: 'bench', loaded: number, total: number }) => void} [onProgress] is called now and
 *   then
 * @property {AbortSignal} [signal]
 */

/** @param {RecommendOptions} options */
export function recommendArgs({ memory, speed, threads }) {
  const optional = (/** @type {string} */ name, /** @type {unknown} */ value) =>
    value === undefined ? undefined : number(name, value, 0, Number.MAX_SAFE_INTEGER);
  return {
    options: engineOptions({ threads }),
    wanted: { memory: optional('memory', memory), speed: optional('speed', speed) },
  };
}
