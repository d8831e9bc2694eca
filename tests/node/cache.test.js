// The cache: files in a directory or in memory, manifests, entries, hashes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { IntegrityError, QuotaError, StateError } from '../../web/index.js';
import { canonicalUrl, keyOf, openEntry } from '../../web/cache/entry.js';
import {
  CHUNK,
  formatManifest,
  makeManifest,
  parseManifest,
} from '../../web/cache/manifest.js';
import { openStore } from '../../web/cache/store.js';
import { Sha256, sha256, sha256Text } from '../../web/hash.js';

const URL_OF_FILE = 'https://host.example/model.gguf';
const SIZE = 2 * CHUNK + 1000;

let root;
before(async () => (root = await mkdtemp(join(tmpdir(), 'halfbyte-cache-'))));
after(() => rm(root, { recursive: true, force: true }));

let number = 0;
const newDirectory = () => join(root, String(number++));

/** Bytes that differ from place to place. */
function makeBytes(size, seed = 1) {
  const bytes = new Uint8Array(size);
  let x = seed;
  for (let i = 0; i < size; i++) bytes[i] = x = (x * 1103515245 + 12345) >>> 16;
  return bytes;
}

const bytes = makeBytes(SIZE);
const reference = (data) => createHash('sha256').update(data).digest('hex');

/** Writes one chunk of the file to an entry as a download does. */
async function putChunk(entry, index) {
  const chunk = bytes.subarray(index * CHUNK, (index + 1) * CHUNK);
  await entry.write(index * CHUNK, chunk);
  entry.setChunk(index, await sha256(chunk));
}

async function putFile(store, url = URL_OF_FILE) {
  const entry = await openEntry(store, url);
  await entry.begin({ url, etag: '"1"', size: SIZE });
  for (let i = 0; i < 3; i++) await putChunk(entry, i);
  await entry.commit(reference(bytes));
  return entry;
}

async function readAll(entry) {
  const digest = await entry.hashAll();
  await entry.close();
  return digest;
}

describe('SHA-256', () => {
  test('of pieces of any length is that of the whole', async () => {
    const hash = await Sha256.create();
    const data = makeBytes(300_000);
    for (const step of [1, 63, 64, 65, 1000, 65_537, 300_000]) {
      for (let i = 0; i < data.length; i += step) {
        hash.update(data.subarray(i, i + step));
        if (step < 60 && i > 5000) break;
      }
      const length = step < 60 ? 5002 : data.length;
      assert.equal(hash.digest(), reference(data.subarray(0, length)), `in steps of ${step}`);
    }
  });

  test('of shared memory and without WebCrypto is the same', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(1000)).fill(7);
    assert.equal(await sha256(shared), reference(Buffer.from(shared)));
    const own = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
    Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
    try {
      assert.equal(await sha256Text(''), reference(''));
      assert.equal(await sha256(bytes), reference(bytes));
    } finally {
      Object.defineProperty(globalThis, 'crypto', own);
    }
  });
});

describe('a manifest', () => {
  const manifest = makeManifest({ identity: URL_OF_FILE, url: URL_OF_FILE, size: SIZE });

  test('is read as it was written', async () => {
    assert.deepEqual(
      await parseManifest(await formatManifest(manifest)),
      JSON.parse(JSON.stringify(manifest)),
    );
  });

  test('with any one byte changed is none', async () => {
    const text = await formatManifest(manifest);
    for (let i = 0; i < text.length; i++) {
      const damaged = text.slice(0, i) + (text[i] === '0' ? '1' : '0') + text.slice(i + 1);
      assert.equal(await parseManifest(damaged), undefined, `byte ${i}`);
      assert.equal(await parseManifest(text.slice(0, i)), undefined, `cut at ${i}`);
    }
  });

  test('that lies is none, even with a right checksum', async () => {
    const lies = [
      { version: 2 },
      { size: -1 },
      { size: SIZE + CHUNK },
      { size: 2 ** 60 },
      { size: '12' },
      { chunk: 1 },
      { hashes: [] },
      { hashes: ['x', null, null] },
      { complete: true },
      { url: 5 },
      { etag: {} },
      { sha256: 'abc' },
      { used: 1.5 },
    ];
    for (const lie of lies)
      assert.equal(
        await parseManifest(await formatManifest({ ...manifest, ...lie })),
        undefined,
        JSON.stringify(lie),
      );
    for (const text of ['', '[]', 'null', '1', '{}', '{"check":null}'])
      assert.equal(await parseManifest(text), undefined, text);
  });

  test('keeps no password of a URL', async () => {
    const url = 'https://user:secret@host.example/a.gguf#part';
    assert.doesNotMatch(await formatManifest(makeManifest({ identity: 'a', url, size: 1 })), /secret/);
    assert.equal(canonicalUrl(url), 'https://host.example/a.gguf');
  });
});

for (const kind of ['directory', 'memory']) {
  describe(`a store in ${kind}`, () => {
    let store;
    before(async () => (store = await openStore({ kind, path: newDirectory() })));
    after(async () => {
      for (const { name } of await store.list()) await store.remove(name);
    });

    test('gives back what was written, at any place', async () => {
      const place = await store.open('a.part', { create: true });
      await place.write(3_000_000, bytes.subarray(0, 2_000_000));
      await place.write(0, bytes.subarray(0, 10));
      assert.equal(await place.size(), 5_000_000);
      const into = new Uint8Array(3_000_000);
      assert.equal(await place.read(2_500_000, into), 2_500_000);
      assert.ok(into.subarray(0, 500_000).every((byte) => byte === 0));
      assert.equal(reference(into.subarray(500_000, 2_500_000)), reference(bytes.subarray(0, 2_000_000)));
      await place.truncate(5);
      assert.equal(await place.read(0, into), 5);
      await place.flush();
      await place.close();
      assert.deepEqual(await store.list(), [{ name: 'a.part', size: 5 }]);
    });

    test('renames over what was there, and removes what is not', async () => {
      await store.writeText('b.json', 'new');
      await store.writeText('c.json', 'old');
      await store.rename('b.json', 'c.json');
      assert.equal(await store.readText('c.json'), 'new');
      assert.equal(await store.readText('b.json'), undefined);
      await store.remove('c.json');
      await store.remove('c.json');
      await assert.rejects(store.open('c.json'), { name: 'IoError' });
    });

    test('takes no name that leads elsewhere', async () => {
      for (const name of ['../a', '/etc/passwd', 'a/b', '', '.', '..', 'A', 'a\\b', 'a\0'])
        await assert.rejects(async () => store.readText(name), { name: 'ArgumentError' }, name);
    });

    test('lets one at a time hold a lock, in the order of asking', async () => {
      const order = [];
      let inside = 0;
      const hold = (label) =>
        store.lock('x', {}, async () => {
          assert.equal(++inside, 1);
          order.push(label);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
          return label;
        });
      assert.deepEqual(await Promise.all([hold(1), hold(2), hold(3)]), [1, 2, 3]);
      assert.deepEqual(order.sort(), [1, 2, 3]);
    });

    test('does not wait for a lock when told so, nor longer than wanted', async () => {
      await store.lock('y', {}, async () => {
        assert.equal(await store.lock('y', { wait: false }, async () => 1), undefined);
        const stop = new AbortController();
        const waiting = store.lock('y', { signal: stop.signal }, async () => 1);
        stop.abort();
        await assert.rejects(waiting, { name: 'AbortError' });
      });
      assert.equal(await store.lock('y', { wait: false }, async () => 1), 1);
    });

    test('frees a lock when its body fails', async () => {
      await assert.rejects(
        store.lock('z', {}, async () => {
          throw new Error('no');
        }),
        /no/,
      );
      assert.equal(await store.lock('z', { wait: false }, async () => 1), 1);
    });
  });

  describe(`an entry in ${kind}`, () => {
    let store;
    before(async () => (store = await openStore({ kind, path: newDirectory() })));

    test('keeps its chunks when it is opened again', async () => {
      const url = `${URL_OF_FILE}?again`;
      const first = await openEntry(store, url);
      assert.equal(first.manifest, undefined);
      await first.begin({ url, etag: '"1"', size: SIZE });
      await putChunk(first, 0);
      await putChunk(first, 2);
      await first.save();
      await first.close();

      const second = await openEntry(store, url);
      assert.equal(second.complete, false);
      assert.equal(second.manifest.etag, '"1"');
      assert.equal(second.stored, CHUNK + 1000);
      assert.deepEqual([0, 1, 2].map((i) => second.has(i)), [true, false, true]);
      await second.resume();
      assert.ok(await second.verifyChunk(0));
      assert.ok(!(await second.verifyChunk(1)));
      assert.ok(await second.verifyChunk(2));
      await assert.rejects(second.commit(), { name: 'StateError' });
      await putChunk(second, 1);
      await second.commit(await second.hashAll());

      const third = await openEntry(store, url);
      assert.equal(third.complete, true);
      assert.equal(third.manifest.sha256, reference(bytes));
      assert.equal(await readAll(third), reference(bytes));
    });

    test('with another SHA-256 than expected is not committed', async () => {
      const url = `${URL_OF_FILE}?wrong`;
      const entry = await openEntry(store, url);
      const expected = 'a'.repeat(64);
      await entry.begin({ url, size: 10, sha256: expected });
      await entry.write(0, bytes.subarray(0, 10));
      entry.setChunk(0, await sha256(bytes.subarray(0, 10)));
      const actual = await entry.hashAll();
      await assert.rejects(entry.commit(actual), (error) => {
        assert.ok(error instanceof IntegrityError);
        assert.deepEqual([error.expected, error.actual], [expected, actual]);
        return true;
      });
      await entry.discard();
      assert.equal((await openEntry(store, url)).manifest, undefined);
    });

    test('tells which chunk is damaged and is healed by that one alone', async () => {
      const entry = await putFile(store, `${URL_OF_FILE}?damaged`);
      const place = await store.open(entry.names.whole, { write: true });
      await place.write(CHUNK + 5, new Uint8Array([bytes[CHUNK + 5] ^ 1]));
      await place.close();
      const damaged = [];
      for (let i = 0; i < 3; i++) if (!(await entry.verifyChunk(i))) damaged.push(i);
      assert.deepEqual(damaged, [1]);
      await entry.resume();
      entry.setChunk(1, null);
      await putChunk(entry, 1);
      await entry.commit(reference(bytes));
      assert.equal(await readAll(entry), reference(bytes));
    });

    test('with a damaged manifest lives by its copy, and without both is none', async () => {
      const url = `${URL_OF_FILE}?manifest`;
      const { names } = await putFile(store, url);
      await store.writeText(names.manifest, '{"version":1,');
      const entry = await openEntry(store, url);
      assert.equal(entry.complete, true);
      assert.equal(await readAll(entry), reference(bytes));
      await store.writeText(names.copy, '');
      assert.equal((await openEntry(store, url)).manifest, undefined);
    });

    test('with the manifest of another file is none', async () => {
      const url = `${URL_OF_FILE}?mine`;
      const { names } = await putFile(store, url);
      const other = makeManifest({ identity: `${url}2`, url, size: SIZE });
      for (const name of [names.manifest, names.copy])
        await store.writeText(name, await formatManifest(other));
      assert.equal((await openEntry(store, url)).manifest, undefined);
    });

    test('whose file was cut keeps the chunks that are whole', async () => {
      const url = `${URL_OF_FILE}?cut`;
      const { names } = await putFile(store, url);
      const place = await store.open(names.whole, { write: true });
      await place.truncate(CHUNK + 7);
      await place.close();
      const entry = await openEntry(store, url);
      assert.equal(entry.complete, false);
      await entry.resume();
      const whole = [];
      for (let i = 0; i < 3; i++) whole.push(await entry.verifyChunk(i));
      assert.deepEqual(whole, [true, false, false]);
      await putChunk(entry, 1);
      await putChunk(entry, 2);
      await entry.commit(reference(bytes));
      assert.equal(await readAll(entry), reference(bytes));
    });

    test('that ended between its manifest and its renaming loses nothing', async () => {
      const url = `${URL_OF_FILE}?crash`;
      const { names } = await putFile(store, url);
      await store.rename(names.whole, names.part);
      const entry = await openEntry(store, url);
      assert.equal(entry.complete, false);
      await entry.resume();
      for (let i = 0; i < 3; i++) assert.ok(await entry.verifyChunk(i));
      await entry.commit();
      assert.equal(await readAll(await openEntry(store, url)), reference(bytes));
    });

    test('that ended while it was opened for healing loses nothing', async () => {
      const url = `${URL_OF_FILE}?heal`;
      const first = await putFile(store, url);
      first.manifest.complete = false;
      await first.save();
      const entry = await openEntry(store, url);
      assert.equal(entry.complete, false);
      assert.ok(await entry.verifyChunk(1));
      await entry.resume();
      for (let i = 0; i < 3; i++) assert.ok(await entry.verifyChunk(i));
      await entry.commit();
      assert.equal(await readAll(entry), reference(bytes));
    });

    test('that does not fit says how much is needed and left', async () => {
      const entry = await openEntry({ ...store, space: async () => ({ used: 90, quota: 100 }) }, 'a:b');
      await assert.rejects(entry.begin({ url: 'a:b', size: 1000 }), (error) => {
        assert.ok(error instanceof QuotaError);
        assert.deepEqual([error.needed, error.available], [1000, 10]);
        assert.match(error.message, /cache\.clear\(\)/);
        return true;
      });
      await assert.rejects(entry.write(0, bytes), StateError);
    });
  });
}
