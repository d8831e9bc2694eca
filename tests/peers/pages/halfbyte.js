// halfbyte in a page, by its own benchmark: warmed up, without the drawing of tokens.
import { load } from '/web/index.js';
import { contextLength } from '/tests/protocol.js';

/** @import { Task, Visit } from '../protocol.js' */

/** @param {Task} task @returns {Promise<Visit>} */
export default async function visit(task) {
  const { prompt, generate, depth, threads, passes } = task;
  const model = await load(task.model, { threads, contextLength: contextLength(task) });
  if (model.info.threads !== threads) throw new Error(model.info.threadsReason);
  const report = await model.bench({ prompt, generate, depth, repeat: passes });
  return {
    prefill: [report.prefill],
    decode: [report.decode],
    details: model.info.variant,
    raw: report,
  };
}
