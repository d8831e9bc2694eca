// What callers see of the cache in Node: cache.list, delete, clear, persist, space.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cacheDirectory } from '../../web/cache/directory.js';
import { openEntry } from '../../web/cache/entry.js';
import { openStore } from '../../web/cache/store.js';
import { sha256 } from '../../web/hash.js';
import { QuotaError, StateError, cache } from '../../web/index.js';

const URL_OF_FILE = 'https://host.example/model.gguf?download=1';
const bytes = new Uint8Array(1000).map((_, i) => i);

const environment = { ...process.env };
let path, store;
before(async () => (path = await mkdtemp(join(tmpdir(), 'halfbyte-public-'))));
beforeEach(async () => {
  process.env.HALFBYTE_CACHE = path;
  store = await openStore();
  await cache.clear();
});
after(async () => {
  for (const name of ['HALFBYTE_CACHE', 'XDG_CACHE_HOME'])
    if (environment[name] === undefined) delete process.env[name];
    else process.env[name] = environment[name];
  await rm(path, { recursive: true, force: true });
});

async function put(identity, { commit = true } = {}) {
  const entry = await openEntry(store, identity);
  await entry.begin({ url: URL_OF_FILE, size: bytes.length });
  await entry.write(0, bytes);
  entry.setChunk(0, await sha256(bytes));
  if (commit) await entry.commit(await entry.hashAll());
  else await entry.save();
  await entry.close();
  return entry;
}

describe('the directory', () => {
  test('is HALFBYTE_CACHE, or lies where the system wants caches', () => {
    process.env.HALFBYTE_CACHE = '/somewhere/else';
    process.env.XDG_CACHE_HOME = '/xdg';
    assert.equal(cacheDirectory(), '/somewhere/else');
    delete process.env.HALFBYTE_CACHE;
    assert.equal(cacheDirectory(), '/xdg/halfbyte');
    process.env.XDG_CACHE_HOME = 'relative';
    assert.match(cacheDirectory(), /[/\\]\.cache[/\\]halfbyte$/);
  });

  test('that cannot be made gives way to memory, and says why', async () => {
    await writeFile(join(path, 'file'), '');
    process.env.HALFBYTE_CACHE = join(path, 'file', 'below');
    const { kind, reason } = await cache.space();
    assert.equal(kind, 'memory');
    assert.match(reason, /HALFBYTE_CACHE/);
    assert.equal(await cache.persist(), false);
    await assert.rejects(openStore({ kind: 'directory' }), { name: 'IoError' });
  });

  const full = existsSync('/dev/full') ? {} : { skip: 'skipped: no /dev/full' };
  test('on a full disk is a QuotaError with numbers', full, async () => {
    await symlink('/dev/full', join(path, 'full.part'));
    const place = await store.open('full.part', { write: true });
    await assert.rejects(place.write(0, bytes), (error) => {
      assert.ok(error instanceof QuotaError, String(error));
      assert.equal(error.needed, bytes.length);
      assert.equal(typeof error.available, 'number');
      assert.match(error.message, /HALFBYTE_CACHE/);
      return true;
    });
    await place.close();
    await store.remove('full.part');
  });
});

describe('cache', () => {
  test('lists what is there, the last used first', async () => {
    const begun = Date.now();
    await put('https://host.example/a.gguf', { commit: false });
    const whole = await put('hf:owner/repo/b.gguf@main');
    const part = await openEntry(store, 'https://host.example/a.gguf');
    part.manifest.used = begun + 1e6;
    await part.save();
    const [a, b, ...rest] = await cache.list();
    assert.deepEqual(rest, []);
    assert.deepEqual(
      [a.identity, a.complete, a.sha256, a.stored, a.size],
      ['https://host.example/a.gguf', false, undefined, 1000, 1000],
    );
    assert.deepEqual(
      [b.id, b.identity, b.url, b.complete, b.sha256],
      [whole.key, 'hf:owner/repo/b.gguf@main', URL_OF_FILE, true, await sha256(bytes)],
    );
    assert.ok(b.used.getTime() >= begun && b.created.getTime() >= begun);
  });

  test('deletes by id, URL or hub name', async () => {
    for (const identity of ['https://host.example/a.gguf', 'hf:owner/repo/b.gguf@main']) {
      const { key } = await put(identity);
      assert.equal(await cache.delete(identity), true);
      assert.equal(await cache.delete(key), false);
      await put(identity);
      assert.equal(await cache.delete(key), true);
    }
    await put('https://host.example/a.gguf');
    assert.equal(await cache.delete('https://me:pw@host.example/a.gguf#x'), true);
    await put('hf:owner/repo/b.gguf@main');
    assert.equal(await cache.delete('hf:owner/repo/b.gguf'), true);
    assert.deepEqual(await readdir(path), ['file']);
    await assert.rejects(cache.delete(5), { name: 'ArgumentError' });
  });

  test('leaves alone what is being downloaded', async () => {
    const { key } = await put('https://host.example/a.gguf', { commit: false });
    await put('https://host.example/b.gguf');
    await store.lock(key, {}, async () => {
      await assert.rejects(cache.delete(key), StateError);
      assert.equal(await cache.clear(), 1);
    });
    assert.equal((await cache.list()).length, 1);
    assert.equal(await cache.clear(), 1);
    assert.deepEqual(await cache.list(), []);
  });

  test('clears what a crash left, and nothing of others', async () => {
    const { names } = await put('https://host.example/a.gguf');
    await rm(join(path, names.manifest));
    await rm(join(path, names.copy));
    await writeFile(join(path, `${names.manifest}.0a1b2c3d.new`), 'half');
    await writeFile(join(path, 'mine.txt'), '');
    assert.deepEqual(await cache.list(), []);
    assert.equal(await cache.clear(), 1);
    assert.deepEqual((await readdir(path)).sort(), ['file', 'mine.txt']);
  });

  test('says how much it holds', async () => {
    await put('https://host.example/a.gguf');
    const { kind, reason, used, quota } = await cache.space();
    assert.deepEqual([kind, reason], ['directory', undefined]);
    assert.ok(used > 1000 && quota > used);
    assert.equal(await cache.persist(), true);
  });
});
