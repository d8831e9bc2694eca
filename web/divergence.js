// How far the predictions of a model are from those of another, token by token.
import { ArgumentError, StateError } from './generated.js';
import { Losses } from './scoring.js';

/** @import { Scoring } from './scoring.js' */

/**
 * How far a model's predictions are from those of a reference.
 * @typedef {object} Comparison
 * @property {number} tokens that were compared
 * @property {number} meanKl mean Kullback-Leibler divergence from the reference, in nats
 * @property {number} medianKl
 * @property {number} kl99 99 of 100 tokens diverge less than this
 * @property {number} maxKl
 * @property {number} sameTop share of the tokens for which both hold the same one for the likeliest
 * @property {number} perplexity of the model
 * @property {number} referencePerplexity
 */

/** What a row of logits says. @param {Float32Array} logits */
function survey(logits) {
  let top = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[top]) top = i;
  const most = logits[top];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - most);
  return { top, logSum: most + Math.log(sum) };
}

/**
 * Collects the divergences of a text.
 */
export class Divergence {
  /** @type {number[]} */ #values = [];
  #same = 0;
  #losses = new Losses();
  #referenceLosses = new Losses();

  /**
   * @param {Float32Array} reference logits
   * @param {Float32Array} own logits
   * @param {number} token that follows
   */
  add(reference, own, token) {
    const theirs = survey(reference);
    const ours = survey(own);
    const shift = ours.logSum - theirs.logSum;
    let divergence = 0;
    for (let i = 0; i < own.length; i++) {
      const p = Math.exp(reference[i] - theirs.logSum);
      if (p > 0) divergence += p * (reference[i] - own[i] + shift);
    }
    this.#values.push(Math.max(divergence, 0)); // below 0 by rounding only
    if (theirs.top === ours.top) this.#same++;
    this.#losses.add(ours.logSum - own[token]);
    this.#referenceLosses.add(theirs.logSum - reference[token]);
  }

  /** @returns {Comparison} */
  get result() {
    const sorted = Float64Array.from(this.#values).sort();
    const count = sorted.length;
    const at = (/** @type {number} */ share) => {
      const place = share * (count - 1);
      const below = Math.floor(place);
      const above = Math.ceil(place);
      return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
    };
    return {
      tokens: count,
      meanKl: sorted.reduce((sum, each) => sum + each, 0) / count,
      medianKl: at(0.5),
      kl99: at(0.99),
      maxKl: sorted[count - 1],
      sameTop: this.#same / count,
      perplexity: this.#losses.perplexity,
      referencePerplexity: this.#referenceLosses.perplexity,
    };
  }
}

/**
 * The texts that an engine is comparing. One with the reference gives out logits, one with the model
 * in question takes them; the caller leads both, step by step, so that neither holds a text's logits.
 */
export class Comparisons {
  /** @type {Map<number, { scoring: Scoring, divergence: Divergence }>} */ #open = new Map();
  #next = 1;

  /** @param {Scoring} scoring */
  open(scoring) {
    const id = this.#next++;
    this.#open.set(id, { scoring, divergence: new Divergence() });
    const { tokens, mostRows, loaded } = scoring;
    return { id, tokens, mostRows, vocabulary: loaded.vocabulary };
  }

  /** @param {number} id */
  #at(id) {
    const found = this.#open.get(id);
    if (!found) throw new StateError('this comparison has ended');
    return found;
  }

  /**
   * The logits of the next step's scored rows, one after the other.
   * @param {{ id: number, most: number }} args
   */
  give({ id, most }) {
    const { scoring } = this.#at(id);
    const { vocabulary } = scoring.loaded;
    const { length } = scoring.step(most);
    const out = new Float32Array(length * vocabulary);
    for (let row = 0; row < length; row++) out.set(scoring.logits(row), row * vocabulary);
    return out;
  }

  /**
   * Compares the next step with what the reference gave.
   * @param {{ id: number, most: number, reference: Float32Array }} args
   * @returns {number} tokens that were read so far
   */
  take({ id, most, reference }) {
    const { scoring, divergence } = this.#at(id);
    const { vocabulary } = scoring.loaded;
    const tokens = scoring.step(most);
    if (reference.length !== tokens.length * vocabulary)
      throw new ArgumentError('the models did not read the same tokens');
    tokens.forEach((token, row) => {
      const theirs = reference.subarray(row * vocabulary, (row + 1) * vocabulary);
      divergence.add(theirs, scoring.logits(row), token);
    });
    return scoring.position;
  }

  /** @param {{ id: number }} args */
  result({ id }) {
    return this.#at(id).divergence.result;
  }

  /** @param {{ id: number }} args */
  end({ id }) {
    this.#open.get(id)?.scoring.end();
    this.#open.delete(id);
  }
}
