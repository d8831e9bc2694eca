import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { load } from '../../web/index.js';
import { PROMPT, collect, modelPath } from './support.js';

const ROUNDS = 50;
const WARM_UP = 10; // rounds until the allocators of V8 and the C library have what they need
const TOLERANCE = 24 << 20; // bytes; a round holds some 20 MiB while it runs

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

async function round() {
  const model = await load(modelPath);
  await collect(model.generate(PROMPT, { maxTokens: 5 }));
  await model.dispose();
}

async function memory() {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, external, arrayBuffers } = process.memoryUsage();
  return { rss, external, arrayBuffers };
}

test(`${ROUNDS} rounds of load, generate and dispose leave memory where it was`, async () => {
  for (let i = 0; i < WARM_UP; i++) await round();
  const before = await memory();
  for (let i = 0; i < ROUNDS; i++) await round();
  const after = await memory();
  for (const kind of Object.keys(before)) {
    const growth = after[kind] - before[kind];
    assert.ok(growth < TOLERANCE, `${kind} grew by ${(growth / 2 ** 20).toFixed(1)} MiB`);
  }
});
