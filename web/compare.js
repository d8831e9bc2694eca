// The caller's side of a comparison: two engines read the same text in step, and the logits of one
// travel to the other a few rows at a time.
import { abortError } from './client.js';
import { ArgumentError } from './generated.js';

/** @import { Client } from './client.js' */
/** @import { Comparison } from './divergence.js' */
/** @import { MeasureProgress } from './measure-options.js' */
/** @import { ScoringArgs } from './scoring.js' */

const STEP_MS = 60;
const PROGRESS_MS = 50;

/**
 * @param {Client} client with the model in question
 * @param {Client} other with the reference
 * @param {ScoringArgs} args
 * @param {{ signal?: AbortSignal, onProgress?: (progress: MeasureProgress) => void }} options
 * @returns {Promise<Comparison>}
 */
export async function compareModels(client, other, args, { signal, onProgress }) {
  /** @param {Client} engine @param {any} what */
  const ask = (engine, what) => engine.call('compare', what, { signal });
  // To the end even when aborted: what was opened must be closed.
  const open = async (/** @type {Client} */ engine) => {
    if (signal?.aborted) throw abortError(signal);
    return engine.call('compare', { step: 'open', ...args });
  };
  const reference = await open(other);
  const ends = [() => other.call('compare', { step: 'end', id: reference.id })];
  try {
    const own = await open(client);
    ends.push(() => client.call('compare', { step: 'end', id: own.id }));
    checkSame(own, reference);
    const total = own.tokens.length;
    let most = 8;
    let reported = -Infinity;
    const give = () => ask(other, { step: 'give', id: reference.id, most });
    for (let at = 0; at < total;) {
      const begun = performance.now();
      const logits = await give();
      at = await ask(client, { step: 'take', id: own.id, most, reference: logits });
      const now = performance.now();
      if (now - begun < STEP_MS) most = Math.min(most * 2, own.mostRows);
      else if (now - begun > STEP_MS * 4) most = Math.max(most >> 1, 1);
      if (now - reported >= PROGRESS_MS || at === total) {
        reported = now;
        onProgress?.({ phase: 'measure', loaded: at, total });
      }
    }
    return await ask(client, { step: 'result', id: own.id });
  } finally {
    await Promise.all(ends.map((end) => end().catch(() => {})));
  }
}

/**
 * @param {{ tokens: number[], vocabulary: number }} own
 * @param {{ tokens: number[], vocabulary: number }} reference
 */
function checkSame(own, reference) {
  if (own.vocabulary !== reference.vocabulary)
    throw new ArgumentError(
      `the models have ${own.vocabulary} and ${reference.vocabulary} tokens: only models with the ` +
        'same vocabulary can be compared',
    );
  const same =
    own.tokens.length === reference.tokens.length &&
    own.tokens.every((token, i) => token === reference.tokens[i]);
  if (!same)
    throw new ArgumentError(
      'the models split the text into different tokens: only models with the same tokenizer can ' +
        'be compared',
    );
}
