// node llama.js TASK: measures llama.cpp as node-llama-cpp ships it, and prints the visit as JSON.
// Its private context is driven directly, one llama_decode a step: its public calls also sample and
// queue, which is not what is compared.
import { readFileSync } from 'node:fs';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { contextLength, measure } from './protocol.js';

/** @import { Task } from './protocol.js' */

/** @type {Task} */
const task = JSON.parse(process.argv[2]);
const length = contextLength(task);

let amx = false;
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.info,
  logger: (_level, message) => (amx ||= /AMX model buffer/.test(message)),
});
const model = await llama.loadModel({ modelPath: task.model, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: length,
  batchSize: 512,
  threads: task.threads,
});
const low = /** @type {any} */ (context)._ctx;
if (low.getThreads() !== task.threads) throw new Error(`it took ${low.getThreads()} threads`);

let held = 0; // positions in the cache
const visit = await measure(task, async (tokens, at, last) => {
  if (held > at) low.removeTokenCellsFromSequence(0, at, held);
  low.initBatch(tokens.length);
  const logits = Uint32Array.from(last ? [tokens.length - 1] : []);
  low.addToBatch(0, at, Uint32Array.from(tokens), logits);
  await low.decodeBatch();
  held = at + tokens.length;
});
const library = /libggml-cpu[-\w]*/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
visit.details = [library, amx && 'AMX buffers'].filter(Boolean).join(', ');
process.stdout.write(JSON.stringify(visit));
process.exit(0); // its threads would keep the process alive
