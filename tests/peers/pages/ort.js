// onnxruntime-web's 4-bit matrix product, on its WebAssembly backend. A run copies the activations
// in and the results out: there is no lower level.
import * as ort from '/peers/onnxruntime-web/dist/ort.wasm.min.mjs';
import { matMulNBits } from '/tests/onnx.js';
import { median } from '/tests/table.js';

/** @import { Matrix, Product } from '../layer.js' */
/** @import { Task } from '../protocol.js' */

const WARM_MS = 200;
const PASS_MS = 60; // a product is repeated that long, and three times at least

/** @param {number} length */
function random(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

/** Milliseconds of a run. @param {() => Promise<unknown>} run @param {number} least of all runs */
async function time(run, least) {
  const all = [];
  const begun = performance.now();
  while (all.length < 3 || performance.now() - begun < least) {
    const start = performance.now();
    await run();
    all.push(performance.now() - start);
  }
  return median(all);
}

/** @param {Task & { matrices: Matrix[] }} task @returns {Promise<Product[]>} */
export default async function visit({ matrices, threads, prompt, passes }) {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = '/peers/onnxruntime-web/dist/';
  const products = [];
  for (const { name, rows, cols } of matrices) {
    const session = await ort.InferenceSession.create(matMulNBits(rows, cols, random), {
      executionProviders: ['wasm'],
    });
    for (const batch of new Set([1, prompt])) {
      const numbers = Float32Array.from({ length: batch * cols }, (_, i) => (i % 63) / 31 - 1);
      const A = new ort.Tensor('float32', numbers, [batch, cols]);
      const Y = new ort.Tensor('float32', new Float32Array(batch * rows), [batch, rows]);
      const run = () => session.run({ A }, { Y });
      await time(run, WARM_MS);
      const ms = [];
      for (let pass = 0; pass < passes; pass++) ms.push(await time(run, PASS_MS));
      products.push({ name, batch, ms });
    }
    await session.release();
  }
  return products;
}
