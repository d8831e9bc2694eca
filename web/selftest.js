// Known answers of every variant that runs here: guards against an engine, or a processor, that
// computes wrong results.
import { abortError } from './client.js';
import { defaultModel } from './default-model.js';
import { sha256 } from './hash.js';
import { capabilities } from './variants.js';

/** @import { Model } from './index.js' */
/** @import { LoadOptions, ModelSource } from './options.js' */

const PROMPT = 'Once upon a time there was';
const TEXT =
  ' a King who had a daughter who was a King and a Queen. The King was very angry, and said, "';
const TOKENS = [1, 2168, 651, 261, 555, 450, 311, 261, 696, 423, 343, 859, 2816, 4055];
/** SHA-256 of the embedded model's logits after each of these tokens, on whatever machine. */
const LOGITS = '1a545aad0c977762807c4c1770bcaec0db2a04838e1542e19984b6f5ad63a340';
const TOKENS_DRAWN = 24;

const ISAS = /** @type {const} */ (['scalar', 'simd128', 'relaxed']);

/**
 * One variant's answers.
 * @typedef {object} SelfTestCheck
 * @property {'scalar' | 'simd128' | 'relaxed'} isa
 * @property {number} threads
 * @property {boolean} passed
 * @property {string} [reason] why it did not pass
 * @property {number} seconds
 */

/**
 * What `selfTest` found.
 * @typedef {object} SelfTestReport
 * @property {boolean} passed whether every variant that runs here gave the known answers
 * @property {SelfTestCheck[]} checks
 * @property {{ isa: string, reason: string }[]} skipped what cannot run here, and why
 */

/**
 * @param {(source: ModelSource, options: LoadOptions) => Promise<Model>} load
 * @param {{ signal?: AbortSignal, model?: ModelSource }} options
 * @returns {Promise<SelfTestReport>}
 */
export async function runSelfTest(load, { signal, model = defaultModel }) {
  const can = capabilities();
  /** @type {SelfTestReport['skipped']} */
  const skipped = [];
  const skip = (/** @type {string} */ isa, /** @type {{ reason?: string }} */ { reason = '' }) =>
    skipped.push({ isa, reason });
  if (!can.relaxedSimd.available) skip('relaxed', can.relaxedSimd);
  if (!can.threads.available) skip('threads', can.threads);
  const checks = [];
  for (const isa of ISAS) {
    if (isa === 'relaxed' && !can.relaxedSimd.available) continue;
    for (const threads of can.threads.available ? [1, 2] : [1]) {
      const begun = performance.now();
      const reason = await failureOf(load, model, { isa, threads, signal });
      const seconds = (performance.now() - begun) / 1000;
      checks.push({ isa, threads, passed: reason === undefined, reason, seconds });
    }
  }
  return { passed: checks.every(({ passed }) => passed), checks, skipped };
}

/**
 * What is wrong with a variant, if anything is.
 * @param {(source: ModelSource, options: LoadOptions) => Promise<Model>} load
 * @param {ModelSource} source
 * @param {{ isa: SelfTestCheck['isa'], threads: number, signal: AbortSignal | undefined }} options
 */
async function failureOf(load, source, options) {
  /** @type {Model | undefined} */
  let model;
  try {
    // Loading compares the kernels with the scalar definition, each bit of them.
    model = await load(source, { ...options, contextLength: 64, divideAll: true });
    return await wrongAnswer(model, options);
  } catch (error) {
    if (options.signal?.aborted) throw abortError(options.signal);
    return error instanceof Error ? error.message : String(error);
  } finally {
    await model?.dispose();
  }
}

/**
 * @param {Model} model
 * @param {{ isa: string, threads: number, signal: AbortSignal | undefined }} options
 */
async function wrongAnswer(model, { isa, threads, signal }) {
  const { info } = model;
  if (info.isa !== isa || info.threads !== threads)
    return info.notes.at(-1) ?? `${info.isa} ran with ${info.threads} threads instead`;
  const logits = await model.logits(TOKENS, { signal });
  const hash = await sha256(new Uint8Array(logits.buffer));
  if (hash !== LOGITS) return `the logits have SHA-256 ${hash} and not ${LOGITS}`;
  let text = '';
  const how = { temperature: 0, maxTokens: TOKENS_DRAWN, signal };
  for await (const part of model.generate(PROMPT, how)) text += part;
  if (text !== TEXT) return `the text is '${text}' and not '${TEXT}'`;
  return undefined;
}
