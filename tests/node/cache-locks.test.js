// Locks of the cache in Node: between processes, between threads, and after a holder's death.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openStore } from '../../web/cache/store.js';

const HOLDER = new URL('cache-holder.js', import.meta.url);

let path, store;
before(async () => {
  path = await mkdtemp(join(tmpdir(), 'halfbyte-locks-'));
  store = await openStore({ kind: 'directory', path });
});
after(() => rm(path, { recursive: true, force: true }));

/** A process that runs cache-holder.js; it has said that it holds the lock. */
async function holdingProcess(name) {
  const child = fork(fileURLToPath(HOLDER), [path, name, 'hold']);
  const [message] = await once(child, 'message');
  assert.equal(message, 'held');
  return child;
}

/** The same in a thread. */
async function holdingThread(name) {
  const worker = new Worker(HOLDER, { argv: [path, name, 'hold'] });
  const [message] = await once(worker, 'message');
  assert.equal(message, 'held');
  return worker;
}

const take = (name, options = {}) => store.lock(name, options, async () => 'taken');

describe('a lock of the directory', () => {
  test('keeps other processes out until it is let go', async () => {
    const child = await holdingProcess('a');
    assert.equal(await take('a', { wait: false }), undefined);
    const exit = once(child, 'exit');
    const taken = take('a');
    child.send('let go');
    assert.equal(await taken, 'taken');
    await exit;
  });

  test('is free as soon as its holder was killed', async () => {
    const child = await holdingProcess('b');
    const taken = take('b');
    child.kill('SIGKILL');
    assert.equal(await taken, 'taken');
  });

  test('that a killed process left is taken at once', async () => {
    const child = await holdingProcess('c');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(await take('c', { wait: false }), 'taken');
  });

  test('is free as soon as the thread that held it was terminated', async () => {
    const worker = await holdingThread('d');
    assert.equal(await take('d', { wait: false }), undefined);
    const taken = take('d');
    await worker.terminate();
    assert.equal(await taken, 'taken');
  });

  test('is not taken from a process that is stopped', async () => {
    const child = await holdingProcess('e');
    child.kill('SIGSTOP');
    assert.equal(await take('e', { wait: false }), undefined);
    const stop = new AbortController();
    const waiting = take('e', { signal: stop.signal });
    stop.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    child.kill('SIGKILL');
    assert.equal(await take('e'), 'taken');
  });

  test('whose file names a dead process without an address is taken', async () => {
    const child = fork(fileURLToPath(HOLDER), [path, 'f', 'nothing']);
    await once(child, 'exit');
    await writeFile(join(path, 'f.lock'), JSON.stringify({ pid: child.pid, token: 'x' }));
    assert.equal(await take('f'), 'taken');
  });

  test('whose file names a stranger’s socket connects to nothing', async () => {
    const address = join(path, 'other.sock');
    const lie = JSON.stringify({ pid: process.pid, token: 'x', address });
    await writeFile(join(path, 'g.lock'), lie);
    assert.equal(await take('g', { wait: false }), undefined); // this process lives
  });

  test('is held by one of many processes at a time, though holders die', async () => {
    const children = Array.from({ length: 4 }, () =>
      fork(fileURLToPath(HOLDER), [path, 'h', 'count', '10']),
    );
    const dying = Array.from({ length: 3 }, () => fork(fileURLToPath(HOLDER), [path, 'h', 'die']));
    const codes = await Promise.all(
      [...children, ...dying].map(async (child) => (await once(child, 'exit'))[0]),
    );
    assert.deepEqual(codes, [0, 0, 0, 0, null, null, null]);
    assert.equal(await store.readText('count.txt'), '40');
  });

  test('leaves nothing behind that the next holder does not clear', async () => {
    assert.equal(await take('h'), 'taken'); // the last holder may have died
    const left = (await readdir(path)).filter((name) => !['count.txt', 'g.lock'].includes(name));
    assert.deepEqual(left, []);
  });
});
