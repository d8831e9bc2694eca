// What every program is asked to do, and the loop around those that are driven token by token. Runs
// in Node and in pages.

/**
 * A visit to a program: it loads the model, warms up, and repeats the measurement.
 * @typedef {object} Task
 * @property {string} model the file's path, or its URL in a page
 * @property {number} vocabulary tokens of the model
 * @property {number} threads
 * @property {number} prompt tokens of the prompt whose reading is timed
 * @property {number} generate tokens that are then decoded one by one
 * @property {number} depth positions in the cache before the prompt
 * @property {number} passes repetitions in a visit, fewer of a program that is slow
 */

/**
 * @typedef {object} Visit
 * @property {number[]} prefill tokens/s of each pass
 * @property {number[]} decode
 * @property {string} [details] what did the work: library, variant, instruction set
 * @property {unknown} [raw] the program's own report
 * @property {number} [busy] processors that others kept busy just before
 */

/**
 * A program at its lowest level: computes `tokens` from position `at` on, whatever the cache holds
 * from there; `last`: the logits of the last one are wanted.
 * @typedef {(tokens: number[], at: number, last: boolean) => Promise<unknown>} Step
 */

const SLICE = 512; // tokens of a prompt at a time: llama.cpp's default for a batch
const WARM_MS = 1000; // WebAssembly is compiled a second time while it runs
const FIRST = { prompt: 16, generate: 2 }; // all that a slow program needs to warm up
const ENOUGH_MS = 20_000; // of measuring

/** Positions that a context needs for a task. @param {Task} task */
export const contextLength = ({ depth, prompt, generate }) =>
  Math.ceil((depth + prompt + generate + 1) / SLICE) * SLICE;

/** The same tokens every time, from all over the vocabulary but its first ones, which are special.
 * @param {number} count @param {number} seed @param {number} vocabulary */
export function randomTokens(count, seed, vocabulary) {
  let state = (seed + 1) * 0x9e3779b1;
  return Array.from({ length: count }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    const first = Math.min(16, vocabulary - 1);
    return first + ((state >>> 8) % (vocabulary - first));
  });
}

/** @typedef {{ prompt: number, generate: number }} Size tokens of a pass */

/**
 * Warms up and measures.
 * @param {Task} task
 * @param {(number: number, size: Size) => Promise<{ prefillMs: number, decodeMs: number }>} pass
 * @returns {Promise<Visit>}
 */
export async function repeat({ prompt, generate, passes }, pass) {
  const size = { prompt, generate };
  let number = 0;
  let begun = performance.now();
  await pass(number++, {
    prompt: Math.min(prompt, FIRST.prompt),
    generate: Math.min(generate, FIRST.generate),
  });
  while (performance.now() - begun < WARM_MS) await pass(number++, size);

  /** @type {Visit} */
  const visit = { prefill: [], decode: [] };
  begun = performance.now();
  do {
    const { prefillMs, decodeMs } = await pass(number++, size);
    visit.prefill.push((prompt / prefillMs) * 1000);
    visit.decode.push((generate / decodeMs) * 1000);
  } while (visit.prefill.length < passes && performance.now() - begun < ENOUGH_MS);
  return visit;
}

/** @param {Task} task @param {Step} step @returns {Promise<Visit>} */
export async function measure(task, step) {
  const { depth, vocabulary } = task;
  const read = async (/** @type {number[]} */ tokens, /** @type {number} */ at) => {
    for (let i = 0; i < tokens.length; i += SLICE)
      await step(tokens.slice(i, i + SLICE), at + i, i + SLICE >= tokens.length);
  };
  await read(randomTokens(depth, 0, vocabulary), 0);
  return repeat(task, async (number, { prompt, generate }) => {
    const tokens = randomTokens(prompt + generate, number + 1, vocabulary);
    const start = performance.now();
    await read(tokens.slice(0, prompt), depth);
    const middle = performance.now();
    for (let i = prompt; i < tokens.length; i++) await step([tokens[i]], depth + i, true);
    return { prefillMs: middle - start, decodeMs: performance.now() - middle };
  });
}
