// What a caller hears while a model is fetched.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { Progress } from '../../web/progress.js';
import { serveFaulty } from './faulty.js';
import { modelPath } from './support.js';

describe('the progress of a download', () => {
  let server, bytes, cache;
  before(async () => {
    bytes = await readFile(modelPath);
    server = await serveFaulty(bytes);
  });
  after(() => server.close());
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), 'halfbyte-'));
    server.calm();
    return () => rm(cache, { recursive: true, force: true });
  });

  async function heard() {
    const seen = [];
    const onProgress = (progress) => seen.push({ ...progress, at: performance.now() });
    await (await load(server.url, { cache, threads: 1, onProgress })).dispose();
    return seen;
  }

  test('goes on while a server is waited for, and says until when', async () => {
    server.fault = (_, n) =>
      n === 0 ? { status: 503, headers: { 'Retry-After': '2' } } : undefined;
    const seen = await heard();
    const waiting = seen.filter(({ retryInSeconds }) => retryInSeconds !== undefined);
    assert.ok(waiting.length >= 3, JSON.stringify(seen));
    for (let i = 1; i < waiting.length; i++)
      assert.ok(waiting[i].retryInSeconds <= waiting[i - 1].retryInSeconds);
    assert.ok(waiting[0].retryInSeconds > 1.5 && waiting[0].retryInSeconds <= 2);
    assert.ok(waiting.every(({ phase }) => phase === 'download'));
    assert.equal(seen.at(-1).retryInSeconds, undefined);
    assert.equal(seen.at(-1).loaded, bytes.length);
  });

  test('never falls and comes at most 20 times a second, whatever fails', async () => {
    server.fault = (_, n) =>
      [{ cutAfter: 400_000 }, { status: 503 }, { whole: true, cutAfter: 900_000 }][n];
    const seen = await heard();
    for (let i = 1; i < seen.length; i++) assert.ok(seen[i].loaded >= seen[i - 1].loaded);
    assert.ok(seen.some(({ retryInSeconds }) => retryInSeconds > 0));
    const seconds = (seen.at(-1).at - seen[0].at) / 1000;
    assert.ok(seen.length <= 20 * seconds + 2, `${seen.length} in ${seconds} s`);
    for (const { loaded, total } of seen) assert.ok(total === undefined || loaded <= total);
  });

  test('has no total that is less than what came', () => {
    const seen = [];
    const progress = new Progress((event) => seen.push(event));
    progress.expect(2);
    progress.learn(1, 10);
    progress.begin(0, { size: 100 });
    progress.advance(100, {});
    progress.begin(1, { size: undefined });
    progress.end();
    progress.close();
    assert.deepEqual(
      seen.map(({ loaded, total }) => [loaded, total]),
      [
        [100, 110],
        [100, 100],
      ],
    );
    const other = new Progress((event) => seen.push(event));
    other.begin(0, { size: 50 });
    other.advance(70, {});
    other.close();
    assert.equal(seen.at(-1).total, undefined);
  });
});
