// halfbyte's own benchmark in a page.
import { load } from '/web/index.js';
import { contextLength, randomTokens, repeat } from '/tests/protocol.js';

/** @import { Task, Visit } from '../protocol.js' */

/** @param {Task} task @returns {Promise<Visit>} */
export default async function visit(task) {
  const { depth, vocabulary, threads } = task;
  const model = await load(task.model, { threads, contextLength: contextLength(task) });
  if (model.info.threads !== threads) throw new Error(model.info.threadsReason);
  /** @param {number[]} tokens @param {number} count of tokens to draw */
  const time = async (tokens, count) => {
    const options = { maxTokens: count, ignoreEos: true, temperature: 0 };
    for await (const part of model.stream(tokens, options))
      if (part.finishReason) return part.timings;
    throw new Error('the stream has no end');
  };
  const context = randomTokens(depth, 0, vocabulary);
  const result = await repeat(task, async (number, { prompt, generate }) => {
    const tokens = randomTokens(prompt, number + 1, vocabulary);
    const before = depth ? (await time(context, 1)).prefillMs : 0;
    // The first token is drawn from the prompt's logits and costs no step.
    const { prefillMs, decodeMs } = await time([...context, ...tokens], generate + 1);
    return { prefillMs: prefillMs - before, decodeMs };
  });
  return { ...result, details: model.info.variant };
}
