// wllama 2 through its low-level calls, one llama_decode each.
import { Wllama } from '/peers/wllama-2/esm/index.js';
import { contextLength, measure } from '/tests/protocol.js';

/** @import { Task, Visit } from '../protocol.js' */

const wasm = '/peers/wllama-2/esm';

/** @param {Task} task @returns {Promise<Visit>} */
export default async function visit(task) {
  const wllama = new Wllama(
    {
      'single-thread/wllama.wasm': `${wasm}/single-thread/wllama.wasm`,
      'multi-thread/wllama.wasm': `${wasm}/multi-thread/wllama.wasm`,
    },
    { suppressNativeLog: true },
  );
  const file = await (await fetch(task.model)).blob();
  await wllama.loadModel([file], { n_ctx: contextLength(task), n_threads: task.threads });
  if (wllama.getNumThreads() !== task.threads)
    throw new Error(`it took ${wllama.getNumThreads()} threads`);
  let held = 0; // positions in the cache
  const result = await measure(task, async (tokens, at, last) => {
    if (held > at) await wllama.kvRemove(at, held - at);
    held = (await wllama.decode(tokens, { skipLogits: !last })).nPast;
    if (held !== at + tokens.length) throw new Error(`the cache holds ${held} positions`);
  });
  const build = wllama.isMultithread() ? 'multi-thread' : 'single-thread';
  return { ...result, details: `${build} build, llama.cpp ${Wllama.getLibllamaVersion()}` };
}
