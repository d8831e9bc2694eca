// What the engine measures on texts: vectors, perplexity, divergence.
import { Comparisons } from './divergence.js';
import { embedTexts } from './embedding.js';
import { AbortError } from './generated.js';
import { breathe } from './platform.js';
import { Losses, Scoring, Stride } from './scoring.js';

/** @import { EmbedArgs } from './embedding.js' */
/** @import { Emit, Watch } from './engine.js' */
/** @import { ScoringArgs } from './scoring.js' */
/** @import { Loaded } from './session.js' */
/** @import { Tokenizer } from './tokenizer.js' */
/** @import { Machine } from './variants.js' */

const PROGRESS_MS = 50;

/**
 * How well a model predicts a text.
 * @typedef {object} Perplexity
 * @property {number} perplexity
 * @property {number} standardError
 * @property {number} tokens that were scored
 * @property {number} chunks
 * @property {number} context tokens of a chunk
 */

/**
 * One step of a comparison, which the caller leads.
 * @typedef {{ step: 'open' } & ScoringArgs | { step: 'give', id: number, most: number } |
 *   { step: 'take', id: number, most: number, reference: Float32Array } |
 *   { step: 'result' | 'end', id: number }} CompareArgs
 */

export class Measures {
  #loaded;
  #tokenizer;
  #comparisons = new Comparisons();

  /** @param {Machine & Loaded} loaded @param {Tokenizer} tokenizer */
  constructor(loaded, tokenizer) {
    this.#loaded = loaded;
    this.#tokenizer = tokenizer;
  }

  /**
   * @param {EmbedArgs} args
   * @param {{ width: number, most: number }} model `most`: tokens that a text may have
   * @param {Emit} emit
   * @param {Watch} watch
   */
  embed({ texts, special, ...how }, model, emit, watch) {
    const tokens = texts.map((each) =>
      typeof each === 'string' ? this.#tokenizer.promptTokens(each, special) : each,
    );
    const check = () => checkAbort(watch, 'the embedding');
    return embedTexts(this.#loaded, tokens, { ...how, ...model }, paced(emit), check);
  }

  /**
   * @param {ScoringArgs} args
   * @param {Emit} emit
   * @param {Watch} watch
   * @returns {Promise<Perplexity>}
   */
  async perplexity(args, emit, watch) {
    const scoring = new Scoring(this.#loaded, this.#tokenizer, args);
    const report = paced(emit);
    const losses = new Losses();
    const stride = new Stride();
    try {
      while (!scoring.done) {
        await breathe();
        checkAbort(watch, 'the measurement');
        const tokens = stride.run((most) => scoring.step(most));
        tokens.forEach((token, row) => losses.add(scoring.loss(row, token)));
        report({ phase: 'measure', loaded: scoring.position, total: scoring.tokens.length });
      }
    } finally {
      scoring.end();
    }
    const { perplexity, standardError, count } = losses;
    const { chunks, context } = scoring;
    return { perplexity, standardError, tokens: count, chunks, context };
  }

  /** @param {CompareArgs} args */
  compare(args) {
    switch (args.step) {
      case 'open':
        return this.#comparisons.open(new Scoring(this.#loaded, this.#tokenizer, args));
      case 'give':
        return this.#comparisons.give(args);
      case 'take':
        return this.#comparisons.take(args);
      case 'result':
        return this.#comparisons.result(args);
      case 'end':
        return this.#comparisons.end(args);
    }
  }
}

/** @param {Watch} watch @param {string} what */
function checkAbort(watch, what) {
  if (watch.aborted) throw new AbortError(`${what} was aborted`);
}

/** Passes at most 20 reports a second on, and the last one. @param {Emit} emit @returns {Emit} */
function paced(emit) {
  let reported = -Infinity;
  return (event) => {
    const now = performance.now();
    if (now - reported < PROGRESS_MS && event.loaded < event.total) return;
    reported = now;
    emit(event);
  };
}
