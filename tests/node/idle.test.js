// Threads that wait for work: they look for it briefly and then sleep.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { capabilities, load } from '../../web/index.js';
import { PROMPT, collect, greedy, modelPath } from './support.js';

const SETTLING = 1000; // ms until V8 has compiled what it wants to and collected its garbage
const WATCHED = 1000;
const MOST = 100; // ms of CPU in that time; a thread that spins takes all of it

const without = capabilities().threads.available ? {} : { skip: 'skipped: no threads' };

test('a model that has nothing to do takes no processor time', without, async () => {
  const model = await load(modelPath, { threads: 2 });
  assert.equal(model.info.threads, 2);
  await collect(model.generate(PROMPT, greedy));
  await sleep(SETTLING);
  const before = process.cpuUsage();
  await sleep(WATCHED);
  const { user, system } = process.cpuUsage(before);
  await model.dispose();
  const used = (user + system) / 1000;
  assert.ok(used < MOST, `${used} ms of processor time in ${WATCHED} ms`);
});
