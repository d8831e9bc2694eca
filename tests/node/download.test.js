// Downloads over a server that fails, into a cache that outlives it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openEntry } from '../../web/cache/entry.js';
import { CHUNK } from '../../web/cache/manifest.js';
import { openStore } from '../../web/cache/store.js';
import { Chunks } from '../../web/download/chunks.js';
import { openDownload } from '../../web/download/download.js';
import { Filling } from '../../web/download/filling.js';
import { Restart } from '../../web/download/restart.js';
import { PATIENCE, retryAfter } from '../../web/download/retry.js';
import { IntegrityError, NetworkError, QuotaError } from '../../web/index.js';
import { serveFaulty } from './faulty.js';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Bytes that differ everywhere. */
function noise(length, seed = 1) {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0, x = seed; i < words.length; i++) words[i] = x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return new Uint8Array(words.buffer, 0, length);
}

const FILE = noise(3 * CHUNK + 12345);
const SUM = sha256(FILE);
const patience = { ...PATIENCE, first: 1, longest: 4, stall: 300 };

let server, folder, store;
before(async () => {
  server = await serveFaulty(FILE);
});
after(() => server.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'halfbyte-'));
  store = await openStore({ kind: 'directory', path: folder });
  server.bytes = FILE;
  server.etag = '"one"';
  server.calm();
  return () => rm(folder, { recursive: true, force: true });
});

const openIt = (options) => openDownload(server.url, { store, patience, strict: true, ...options });

/** Everything that a reader gives. */
async function drain(reader, { piece = 1 << 18, until = Infinity } = {}) {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(piece);
  let count = 0;
  try {
    for (let n; count < until && (n = await reader.read(() => buffer)) > 0; count += n)
      hash.update(buffer.subarray(0, n));
  } finally {
    await reader.close();
  }
  return { count, sum: hash.digest('hex') };
}

/** The file by way of as many readings as it takes, like the loader. */
async function fetchAll(options) {
  for (let tries = 1; ; tries++) {
    try {
      return await drain(await openIt(options));
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
      if (tries > error.most) throw error.error;
    }
  }
}

/** Nothing is asked of the server, and the bytes are right. */
async function isComplete(options) {
  server.calm();
  assert.deepEqual(await drain(await openIt(options)), { count: FILE.length, sum: SUM });
  assert.equal(server.requests(), 0);
}

const entryOf = () => openEntry(store, server.url);

describe('a download', () => {
  test('gives the bytes, keeps them, and needs no request the next time', async () => {
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
    assert.equal(server.sent(), FILE.length);
    await isComplete();
    const { manifest } = await entryOf();
    assert.equal(manifest.sha256, SUM);
    assert.equal(manifest.etag, '"one"');
  });

  test('is noted as used when it is read, but not for its header alone', async () => {
    await fetchAll();
    const entry = await entryOf();
    entry.manifest.used = 1000;
    await entry.save();
    await drain(await openIt({ headerOnly: true }), { until: 1000 });
    assert.equal((await entryOf()).manifest.used, 1000);
    const before = Date.now();
    await isComplete();
    assert.ok((await entryOf()).manifest.used >= before);
    await isComplete();
  });

  test('that is complete is read where nothing can be noted', async () => {
    await fetchAll();
    const refuse = async () => {
      throw new QuotaError('full', {});
    };
    await isComplete({ store: { ...store, writeText: refuse } });
    await isComplete({ store: { ...store, lock: refuse } });
  });

  test('comes over several connections, in ranges that must be of the same file', async () => {
    let open = 0;
    let most = 0;
    server.fault = (_, number) => {
      if (number === 0) return undefined;
      most = Math.max(most, ++open);
      return { hold: new Promise((resolve) => setImmediate(() => setImmediate(resolve))).finally(() => open--) };
    };
    await fetchAll({ parallel: 3 });
    assert.ok(most >= 2, `${most}`);
    assert.ok(server.log.slice(1).every(({ headers }) => headers['if-range'] === '"one"'));
    assert.equal(server.sent(), FILE.length);
  });

  for (const [name, fault] of Object.entries({
    'is cut at any byte': (_, n) => (n % 3 === 2 ? undefined : { cutAfter: (n * 700_001) % 3_000_000 }),
    'stalls': (_, n) => (n % 2 === 0 ? { stallAfter: 500_000 } : undefined),
    'never begins to answer': (_, n) => (n === 1 ? { hold: new Promise(() => {}) } : undefined),
    'ends too early as if it were whole': (_, n) =>
      n % 2 === 0 ? { endAfter: 1_000_000 } : undefined,
    'answers 500 now and then': (_, n) => (n % 2 === 0 ? { status: 500 } : undefined),
    'answers 416 now and then': (_, n) => (n % 2 === 1 ? { status: 416 } : undefined),
    'answers 429 now and then': (_, n) =>
      n % 2 === 0 ? { status: 429, headers: { 'Retry-After': '0' } } : undefined,
    'gives the whole file for a range': (_, n) => (n % 2 === 1 ? { whole: true } : undefined),
    'gives another range than was asked for': (_, n) =>
      n % 2 === 1 ? { headers: { 'Content-Range': `bytes 7-99/${FILE.length}` } } : undefined,
    'gives ranges without a sense': (_, n) =>
      n % 2 === 1 ? { headers: { 'Content-Range': 'bytes x-y/z' } } : undefined,
    'lies once about the length': (_, n) => (n === 1 ? { total: FILE.length + 5 } : undefined),
    'lies at first about the length': (_, n) => (n === 0 ? { total: FILE.length + CHUNK } : undefined),
    'claims at first that it is shorter': (_, n) => (n === 0 ? { total: FILE.length - 5 } : undefined),
  }))
    test(`is right in the end from a server that ${name}`, async () => {
      server.fault = fault;
      assert.deepEqual(await fetchAll({ sha256: SUM }), { count: FILE.length, sum: SUM });
      await isComplete({ sha256: SUM });
    });

  test('works with a server that knows no ranges, and with one that tells no length', async () => {
    for (const [how, kept] of [
      [{ ranges: false }, true],
      [{ ranges: false, length: false }, false],
    ]) {
      const plain = await serveFaulty(FILE, how);
      plain.fault = (_, n) => (kept && n === 0 ? { cutAfter: 5_000_000 } : undefined);
      const get = () => openDownload(plain.url, { store, patience, sha256: SUM });
      assert.deepEqual(await drain(await get()), { count: FILE.length, sum: SUM });
      const requests = plain.requests();
      assert.equal(requests, kept ? 2 : 1);
      assert.deepEqual(await drain(await get()), { count: FILE.length, sum: SUM });
      assert.equal(plain.requests() - requests, kept ? 0 : 1);
      await plain.close();
    }
  });

  test('waits for a chunk that the only connection is yet to bring', async () => {
    const entry = await openEntry(store, server.url);
    await entry.begin({ url: server.url, size: 2 * CHUNK });
    let reached;
    const between = new Promise((resolve) => (reached = resolve));
    const stream = {
      at: 0,
      open: async () => {},
      next: async () => {
        if (stream.at === 2 * CHUNK) return undefined;
        if (stream.at === CHUNK) await new Promise(reached); // hands out what ends the waiting
        return FILE.subarray(stream.at, (stream.at += CHUNK));
      },
      close: () => {},
    };
    const filling = new Filling(entry, { ranges: false, stream: () => stream }, 3);
    let asked = 0;
    const fill = async () => {
      assert.ok(++asked < 10, 'it is asked for again and again');
      filling.start();
    };
    const chunks = new Chunks(entry, filling, fill, new AbortController().signal);
    assert.equal(await chunks.available(0), CHUNK);
    const goOn = await between;
    const [length] = await Promise.all([chunks.available(CHUNK), new Promise(setImmediate).then(goOn)]);
    assert.equal(length, CHUNK);
    await filling.settled();
    await entry.close();
  });

  test('waits as long as Retry-After says', async () => {
    server.fault = (_, n) => (n === 0 ? { status: 429, headers: { 'Retry-After': '1' } } : undefined);
    const begun = performance.now();
    await fetchAll();
    assert.ok(performance.now() - begun >= 990);
    assert.equal(retryAfter('Wed, 21 Oct 2015 07:28:05 GMT', Date.UTC(2015, 9, 21, 7, 28)), 5);
    assert.equal(retryAfter('soon'), undefined);
    assert.equal(retryAfter(null), undefined);
  });

  test('does not wait for longer than is sensible, and says what was asked for', async () => {
    server.fault = () => ({ status: 429, headers: { 'Retry-After': '86400' } });
    await assert.rejects(fetchAll(), (error) => {
      assert.ok(error instanceof NetworkError);
      assert.equal(error.status, 429);
      assert.equal(error.retryAfter, 86400);
      return true;
    });
  });

  test('fails at once where another attempt is no use', async () => {
    for (const status of [401, 403, 404, 410]) {
      server.calm();
      server.fault = () => ({ status });
      await assert.rejects(fetchAll(), { code: 'NETWORK', status });
      assert.equal(server.requests(), 1);
    }
  });

  test('gives up on a server that never works, and goes on where it was when it does', async () => {
    server.fault = (_, n) => (n < 2 ? undefined : { status: 503 });
    await assert.rejects(fetchAll({ parallel: 1 }), { code: 'NETWORK', status: 503 });
    server.calm();
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
    assert.equal(server.sent(), FILE.length - 2 * CHUNK);
    await isComplete();
  });

  test('begins anew when the file changes midway', async () => {
    const other = noise(2 * CHUNK + 99, 7);
    server.fault = (_, n) => {
      if (n !== 1) return undefined;
      server.bytes = other;
      server.etag = '"two"';
      return {};
    };
    assert.deepEqual(await fetchAll(), { count: other.length, sum: sha256(other) });
    assert.equal((await entryOf()).manifest.etag, '"two"');
  });

  test('begins anew when the file changed between two sessions', async () => {
    await drain(await openIt({ parallel: 1 }), { until: CHUNK + 1 });
    server.bytes = noise(FILE.length, 9);
    server.etag = '"two"';
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: sha256(server.bytes) });
  });

  test('gives up on a file that changes again and again', async () => {
    server.fault = (_, n) => void (server.etag = `"${n}"`);
    await assert.rejects(fetchAll({ parallel: 1 }), { code: 'NETWORK' });
  });
});

describe('integrity', () => {
  test('a flipped bit is found and everything fetched once more', async () => {
    let bad = true;
    server.fault = ({ range }) => {
      if (!range.startsWith('bytes=0-') || !bad) return undefined;
      bad = false;
      return { flip: 1000 };
    };
    assert.deepEqual(await fetchAll({ sha256: SUM }), { count: FILE.length, sum: SUM });
    await isComplete({ sha256: SUM });
  });

  test('a file that is always wrong is an IntegrityError, and nothing of it is kept', async () => {
    server.fault = () => ({ flip: 1000 });
    await assert.rejects(fetchAll({ sha256: SUM }), (error) => {
      assert.ok(error instanceof IntegrityError);
      assert.equal(error.expected, SUM);
      assert.match(error.actual, /^[0-9a-f]{64}$/);
      return true;
    });
    assert.equal(server.sent(), 2 * FILE.length);
    assert.deepEqual(await readdir(folder), []);
    server.calm();
    assert.deepEqual(await fetchAll({ sha256: SUM }), { count: FILE.length, sum: SUM });
  });

  test('holds without a cache, too', async () => {
    const get = () => fetchAll({ store: undefined, sha256: SUM });
    assert.deepEqual(await get(), { count: FILE.length, sum: SUM });
    server.fault = () => ({ flip: 1000 });
    await assert.rejects(get(), IntegrityError);
    server.fault = (_, n) => ({ cutAfter: 3_000_000 + n });
    assert.deepEqual(await get(), { count: FILE.length, sum: SUM });
  });

  test('a damaged chunk alone is fetched again', async () => {
    await fetchAll();
    const name = (await readdir(folder)).find((file) => file.endsWith('.gguf'));
    const file = await open(join(folder, name), 'r+');
    await file.write(Uint8Array.of(1, 2, 3), 0, 3, CHUNK + 77);
    await file.close();
    server.calm();
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
    assert.equal(server.sent(), CHUNK);
    await isComplete();
  });

  test('a damaged chunk of a file that the server no longer has calls for the new file', async () => {
    await fetchAll();
    const name = (await readdir(folder)).find((file) => file.endsWith('.gguf'));
    const file = await open(join(folder, name), 'r+');
    await file.write(Uint8Array.of(1, 2, 3), 0, 3, CHUNK + 77);
    await file.close();
    server.bytes = noise(FILE.length, 5);
    server.etag = '"two"';
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: sha256(server.bytes) });
  });

  test('damaged manifests and cut files are fetched anew', async () => {
    for (const spoil of [
      (name) => name.endsWith('.json') || name.endsWith('.bak') ? '{"version":1,' : undefined,
      (name) => name.endsWith('.gguf') ? FILE.subarray(0, 99) : undefined,
    ]) {
      await fetchAll();
      for (const name of await readdir(folder)) {
        const contents = spoil(name);
        if (contents !== undefined) await writeFile(join(folder, name), contents);
      }
      assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
      await isComplete();
    }
  });

  test('another expected hash than that of the cached file fetches the file anew', async () => {
    await fetchAll();
    server.bytes = noise(FILE.length, 3);
    server.etag = '"two"';
    const sum = sha256(server.bytes);
    assert.deepEqual(await fetchAll({ sha256: sum }), { count: FILE.length, sum });
  });
});

describe('an interrupted download', () => {
  test('loses nothing that was verified', async () => {
    await drain(await openIt({ parallel: 1 }), { until: 2 * CHUNK + 1 });
    server.calm();
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
    assert.equal(server.sent(), FILE.length - 2 * CHUNK);
    await isComplete();
  });

  test('can be aborted at 200 moments, and is right in the end', async () => {
    let verified = 0;
    for (let i = 0; i < 200; i++) {
      const controller = new AbortController();
      // The moment is a number of steps or of bytes, not a time.
      let left = i % 2 ? (i * 7919) % 500 : Infinity;
      const until = i % 2 ? Infinity : (i * 7919 * 104729) % FILE.length;
      const step = () => (left-- <= 0 ? controller.abort() : left < Infinity && setImmediate(step));
      step();
      try {
        await drain(await openIt({ signal: controller.signal }), { piece: 1 << 16, until });
        left = 0;
      } catch (error) {
        assert.equal(error.code, 'ABORTED', error.stack);
      }
      const entry = await entryOf();
      assert.ok(entry.stored >= verified, `${entry.stored} after ${verified}`);
      verified = entry.stored;
      if (entry.complete) {
        await entry.discard();
        verified = 0;
      }
    }
    assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
    await isComplete();
  });

  test('is shared by two who want the same file', async () => {
    const other = await openStore({ kind: 'directory', path: folder });
    const results = await Promise.all([fetchAll(), fetchAll({ store: other })]);
    for (const result of results) assert.deepEqual(result, { count: FILE.length, sum: SUM });
    assert.equal(server.sent(), FILE.length);
  });

  test('is taken over by another when the one who began gives up', async () => {
    const first = await openIt({ parallel: 1 });
    const buffer = new Uint8Array(1 << 16);
    await first.read(() => buffer);
    const states = [];
    const second = fetchAll({ onState: (state) => states.push(state) });
    while (!states.includes('wait')) await new Promise(setImmediate);
    await first.close();
    assert.deepEqual(await second, { count: FILE.length, sum: SUM });
  });
});

describe('a cache that fails', () => {
  /** The store, with less room than a file needs. */
  const full = (after) => ({
    ...store,
    open: async (name, options) => {
      const place = await store.open(name, options);
      return {
        ...place,
        write: async (offset, bytes) => {
          if (offset >= after) throw new QuotaError('full', { needed: bytes.length, available: 0 });
          await place.write(offset, bytes);
        },
      };
    },
  });

  for (const after of [0, CHUNK + 100_000])
    test(`at byte ${after} is left without harm, unless it was insisted on`, async () => {
      const options = { store: full(after), sha256: SUM };
      await assert.rejects(fetchAll(options), QuotaError);
      assert.deepEqual(await fetchAll({ ...options, strict: false }), { count: FILE.length, sum: SUM });
      const reader = await openIt({ ...options, strict: false });
      await drain(reader);
      assert.equal(reader.notKept, 'full');
      assert.deepEqual(await fetchAll(), { count: FILE.length, sum: SUM });
      await isComplete();
    });

  test('is told before the first byte that there is no room', async () => {
    const small = { ...store, space: async () => ({ used: 10, quota: 1000 }) };
    await assert.rejects(fetchAll({ store: small }), (error) => {
      assert.ok(error instanceof QuotaError);
      assert.equal(error.needed, FILE.length);
      assert.equal(error.available, 990);
      return true;
    });
    assert.ok(server.sent() <= CHUNK);
    assert.deepEqual(await fetchAll({ store: small, strict: false }), { count: FILE.length, sum: SUM });
  });
});
