// What shows itself only after a long time. Part of npm run test:full.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { defaultModel, load } from '../../web/index.js';

const model = 'examples/models/tales-5.8m-q4_0.gguf';
const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' });

test('memory stays level over 500 rounds of load, generate and dispose', async () => {
  const round = async () => {
    const instance = await load(defaultModel, { contextLength: 64 });
    for await (const text of instance.generate('Once', { maxTokens: 4, temperature: 0 })) assert.ok(text.length >= 0);
    await instance.dispose();
  };
  for (let i = 0; i < 50; i++) await round();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 450; i++) await round();
  const growth = process.memoryUsage().rss - before;
  assert.ok(growth < 64 << 20, `grew by ${(growth / (1 << 20)).toFixed(1)} MiB`);
});

test('200 runs with more threads than processors give one hash', () => {
  const tokens = Array.from({ length: 100 }, (_, i) => 1 + ((i * 37) % 4000)).join(',');
  const hashes = new Set();
  for (let i = 0; i < 200; i++)
    hashes.add(run('build/native/halfbyte', 'parity', '-m', model, '--tokens', tokens, '-t', String(1 + (i % 16))));
  assert.equal(hashes.size, 1);
});

test('under sanitizers, 20 stories run until the context is full', () => {
  for (let seed = 0; seed < 20; seed++)
    run('build/asan/halfbyte', 'run', '-m', model, '-p', 'Once upon a time', '--temp', '1.5', '--seed', String(seed));
});
