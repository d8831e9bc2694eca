// wllama 3, which is llama-server in a worker: it only takes whole requests, as text, and times
// them itself. Its time for the prompt ends when the first token is drawn, that of the others when
// the last one is. What a request has in common with the one before stays in its cache.
import { Wllama } from '/peers/wllama-3/esm/index.js';
import { contextLength, randomTokens, repeat } from '/tests/protocol.js';

/** @import { Task, Visit } from '../protocol.js' */

const CONTROLS = 16; // characters from U+000E on: no vocabulary joins them, so each is one token

/** @param {number} count @param {number} seed */
function text(count, seed) {
  const codes = randomTokens(count, seed, 2 ** 16).map((token) => 0x0e + (token % CONTROLS));
  return String.fromCharCode(...codes);
}

/** @param {Task} task @returns {Promise<Visit>} */
export default async function visit(task) {
  const { depth, threads } = task;
  const wllama = new Wllama(
    { default: '/peers/wllama-3/esm/wasm/wllama.wasm' },
    { suppressNativeLog: true },
  );
  const file = await (await fetch(task.model)).blob();
  await wllama.loadModel([file], {
    n_ctx: contextLength(task),
    n_threads: threads,
    n_gpu_layers: 0,
    n_parallel: 1,
  });
  if (wllama.getNumThreads() !== threads)
    throw new Error(`it took ${wllama.getNumThreads()} threads`);

  /** @param {string} words @param {number} count */
  const complete = async (words, count) => {
    const { timings } = await wllama.createCompletion({
      prompt: words,
      max_tokens: count,
      ignore_eos: true,
      temperature: 0,
      samplers: ['temperature'],
      cache_prompt: depth > 0,
    });
    return timings;
  };
  // The model puts tokens of its own in front.
  const added = (await complete(text(2, 0), 1)).prompt_n - 2;
  const context = text(Math.max(depth - added, 0), 0);
  if (depth) await complete(context, 1);

  const result = await repeat(task, async (number, { prompt, generate }) => {
    const words = context + text(prompt - (depth ? 0 : added), number + 1);
    // The first token is drawn from the prompt's logits and costs no step.
    const timings = await complete(words, generate + 1);
    const { prompt_n, prompt_ms, predicted_n, predicted_ms } = timings;
    // The cache may reach into the prompt, by the first characters that are the same by chance.
    if (prompt_n > prompt || prompt_n < prompt - 4 || predicted_n !== generate + 1)
      throw new Error(`it read ${prompt_n} tokens and drew ${predicted_n}`);
    return { prefillMs: (prompt_ms / prompt_n) * prompt, decodeMs: predicted_ms };
  });
  return { ...result, details: `wasm64, llama.cpp ${Wllama.getLibllamaVersion()}` };
}
