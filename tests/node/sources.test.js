// Models from the network, from hubs, streams and handles, by way of the public interface.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { parseHubName, hubIdentity, hubUrl } from '../../web/download/hub.js';
import { inspect, load } from '../../web/index.js';
import { serveFaulty } from './faulty.js';
import { PROMPT, collect, greedy, modelPath } from './support.js';

let bytes, sum, story, server, folder;
before(async () => {
  bytes = await readFile(modelPath);
  sum = createHash('sha256').update(bytes).digest('hex');
  story = await tell(modelPath);
  server = await serveFaulty(bytes);
});
after(() => server.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'halfbyte-'));
  server.routes = {};
  server.bytes = bytes;
  server.etag = '"one"';
  server.calm();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What the default model says, loaded from there. */
async function tell(source, options) {
  const model = await load(source, { threads: 1, ...options });
  try {
    return await collect(model.generate(PROMPT, greedy));
  } finally {
    await model.dispose();
  }
}

describe('a model on a server', () => {
  test('is downloaded once', async () => {
    assert.equal(await tell(server.url, { cache: folder, sha256: sum }), story);
    assert.equal(server.sent(), bytes.length);
    server.calm();
    assert.equal(await tell(server.url, { cache: folder, sha256: sum.toUpperCase() }), story);
    assert.equal(await tell(server.url, { cache: folder }), story);
    assert.equal(server.requests(), 0);
    await server.close();
    assert.equal(await tell(server.url, { cache: folder }), story);
    server = await serveFaulty(bytes);
  });

  test('is kept nowhere with `cache: false`', async () => {
    const { HALFBYTE_CACHE } = process.env;
    process.env.HALFBYTE_CACHE = folder;
    try {
      assert.equal(await tell(server.url, { cache: false, sha256: sum }), story);
      assert.deepEqual(await readdir(folder), []);
      assert.equal(await tell(server.url), story);
      assert.ok((await readdir(folder)).some((name) => name.endsWith('.gguf')));
    } finally {
      if (HALFBYTE_CACHE === undefined) delete process.env.HALFBYTE_CACHE;
      else process.env.HALFBYTE_CACHE = HALFBYTE_CACHE;
    }
  });

  test('is downloaded once by two who load it at the same time', async () => {
    const options = { cache: folder };
    assert.deepEqual(await Promise.all([tell(server.url, options), tell(server.url, options)]), [
      story,
      story,
    ]);
    assert.equal(server.sent(), bytes.length);
  });

  test('is fetched anew when its header came damaged, and the error is told if that is no use', async () => {
    server.fault = (_, n) => (n === 0 ? { flip: 0 } : undefined);
    assert.equal(await tell(server.url, { cache: folder }), story);
    await rm(folder, { recursive: true });
    server.fault = () => ({ flip: 0 });
    await assert.rejects(tell(server.url, { cache: folder }), { code: 'FORMAT' });
    server.calm();
    assert.equal(await tell(server.url, { cache: folder }), story);
  });

  test('is not used when a bit of its weights is wrong', async () => {
    server.fault = () => ({ flip: 3_000_000 });
    await assert.rejects(tell(server.url, { cache: folder, sha256: sum }), {
      code: 'INTEGRITY',
      expected: sum,
    });
    server.fault = (_, n) => (n === 0 ? { flip: 3_000_000 } : undefined);
    assert.equal(await tell(server.url, { cache: folder, sha256: sum }), story);
  });

  test('that was cut short is fetched anew', async () => {
    server.bytes = bytes.subarray(0, 2_000_000);
    await assert.rejects(tell(server.url, { cache: folder }), { code: 'TRUNCATED' });
    server.bytes = bytes;
    assert.equal(await tell(server.url, { cache: folder }), story);
  });

  test('shows its header for a part of its bytes', async () => {
    const { name, fileBytes } = await inspect(server.url, { cache: folder });
    assert.deepEqual([name, fileBytes], await inspect(modelPath).then((i) => [i.name, i.fileBytes]));
    assert.ok(server.sent() <= 1 << 20, `${server.sent()}`);
    assert.deepEqual(await readdir(folder), []);
  });

  test('can be given up and taken up again', async () => {
    let go;
    const arrived = new Promise((resolve) => (go = resolve));
    server.fault = () => (go(), { stallAfter: 1_000_000 });
    const controller = new AbortController();
    const loading = load(server.url, { cache: folder, signal: controller.signal });
    await arrived;
    controller.abort();
    await assert.rejects(loading, { code: 'ABORTED' });
    server.calm();
    assert.equal(await tell(server.url, { cache: folder }), story);
  });

  test('gets the headers that were given, and where it redirects to does not', async () => {
    const other = await serveFaulty(bytes);
    server.fault = () => ({ redirect: other.url });
    const headers = { Authorization: 'Bearer secret', 'X-Key': 'secret' };
    assert.equal(await tell(server.url, { cache: folder, headers }), story);
    assert.ok(server.log.every(({ headers }) => headers['x-key'] === 'secret'));
    assert.ok(other.log.every(({ headers }) => !headers.authorization && !headers['x-key']));
    await other.close();
  });

  test('reports progress that never falls, with speed and time left', async () => {
    const seen = [];
    server.fault = (_, n) => (n < 3 ? { cutAfter: 500_000 } : undefined);
    await tell(server.url, { cache: folder, onProgress: (p) => seen.push(p) });
    for (let i = 1; i < seen.length; i++) assert.ok(seen[i].loaded >= seen[i - 1].loaded);
    const last = seen.at(-1);
    assert.equal(last.loaded, bytes.length);
    assert.equal(last.total, bytes.length);
    assert.ok(seen.some(({ phase }) => phase === 'download'));
    assert.ok(last.bytesPerSecond > 0 && last.secondsLeft === 0, JSON.stringify(last));
  });

  test('wants options that make sense', async () => {
    for (const options of [
      { sha256: 'abc' },
      { sha256: [sum, sum] },
      { cache: 7 },
      { headers: { 'a b': 'c' } },
      { hub: 'ftp://x' },
    ])
      await assert.rejects(load(server.url, options), { code: 'ARGUMENT' });
    await assert.rejects(load(modelPath, { sha256: sum }), { code: 'ARGUMENT' });
    assert.equal(server.requests(), 0);
  });
});

describe('a model on a hub', () => {
  const NAME = 'hf:tales/tiny/q4/model.gguf';
  const options = () => ({ cache: folder, hub: server.origin });
  const TREE = '/api/models/tales/tiny/tree/main/q4';
  const row = (path, oid) => ({ type: 'file', path, size: bytes.length, lfs: { oid, size: bytes.length } });

  test('is found by its name, and has the SHA-256 that the hub tells', async () => {
    server.routes[TREE] = [{ type: 'directory', path: 'q4/x' }, row('q4/model.gguf', sum)];
    assert.equal(await tell(NAME, options()), story);
    assert.ok(server.log.some(({ url }) => url === '/tales/tiny/resolve/main/q4/model.gguf'));
    server.calm();
    assert.equal(await tell(NAME, options()), story);
    assert.equal(server.requests(), 0);
    await rm(folder, { recursive: true });
    server.routes[TREE] = [row('q4/model.gguf', '0'.repeat(64))];
    await assert.rejects(tell(NAME, options()), { code: 'INTEGRITY', actual: sum });
  });

  test('is looked for on all pages of the listing, and those that are there are named', async () => {
    const page = (rows, next) => (request, response) => {
      if (next) response.setHeader('Link', `<${server.origin}${next}>; rel="next"`);
      response.end(JSON.stringify(rows));
    };
    server.routes[TREE] = page([row('q4/other.gguf', sum)], '/second');
    server.routes['/second'] = page([row('q4/model.gguf', '0'.repeat(64))]);
    await assert.rejects(tell(NAME, options()), { code: 'INTEGRITY' });
    server.routes['/second'] = page([row('q4/more.gguf', sum)]);
    await assert.rejects(tell(NAME, options()), {
      code: 'NETWORK',
      message: /no file q4\/model.gguf; it has q4\/other.gguf, q4\/more.gguf/,
    });
  });

  test('is loaded from a hub that tells nothing, or nonsense', async () => {
    for (const answer of [{ error: 'x' }, [null, 7, { type: 'file', path: 'q4/model.gguf', size: -1 }]]) {
      server.routes[TREE] = answer;
      assert.equal(await tell(NAME, options()), story);
      await rm(folder, { recursive: true });
    }
    server.routes[TREE] = (_, response) => response.writeHead(404).end();
    assert.equal(await tell(NAME, options()), story);
  });

  test('is asked for anew when the address that it redirects to has run out', async () => {
    const store = await serveFaulty(bytes);
    let signature = 0;
    server.fault = () => ({ redirect: `${store.origin}/blob?signature=${++signature}` });
    // Each signature is good for one request, which breaks off.
    store.fault = ({ url }) =>
      store.log.filter((entry) => entry.url === url).length > 1
        ? { status: 403 }
        : { cutAfter: 1_500_000 };
    assert.equal(await tell(NAME, { ...options(), sha256: sum }), story);
    assert.equal(signature, 3);
    await store.close();
  });

  test('has a name that cannot lead elsewhere', () => {
    const file = parseHubName('hf:owner/repo/a folder/model.gguf@refs/pr/1', 'http://hub/');
    assert.equal(hubUrl(file), 'http://hub/owner/repo/resolve/refs%2Fpr%2F1/a%20folder/model.gguf');
    assert.equal(
      hubIdentity(parseHubName('hf:owner/repo/model.gguf')),
      'hf:owner/repo/model.gguf@main',
    );
    for (const name of [
      'hf:',
      'hf:owner',
      'hf:owner/repo',
      'hf:owner/repo/',
      'hf:../repo/model.gguf',
      'hf:owner/../model.gguf',
      'hf:owner/repo/../../model.gguf',
      'hf:owner/repo/a//model.gguf',
      'hf:owner/repo/model.gguf?x=1',
      'hf:owner/repo/model.gguf#x',
      'hf:owner/repo/%2e%2e/model.gguf',
      'hf:owner/repo/a\\b.gguf',
      'hf:ow ner/repo/model.gguf',
      'hf:owner/repo/model.gguf@',
      'hf:owner/repo/model.gguf@../main',
    ])
      assert.throws(() => parseHubName(name), { code: 'ARGUMENT' }, name);
  });
});

describe('a model at hand', () => {
  test('comes from a stream', async () => {
    const stream = Readable.toWeb(Readable.from([bytes.subarray(0, 5), bytes.subarray(5)]));
    assert.equal(await tell(stream), story);
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.subarray(0, 1000));
        controller.error(new Error('lost'));
      },
    });
    await assert.rejects(load(broken), { code: 'IO', message: /lost/ });
    const texts = new ReadableStream({ start: (controller) => controller.enqueue('text') });
    await assert.rejects(load(texts), { code: 'IO', message: /bytes/ });
  });

  test('comes from a file handle, read in place', async () => {
    let longest = 0;
    const file = await open(modelPath);
    class Lazy extends Blob {
      get size() {
        return bytes.length;
      }
      slice(from, to) {
        longest = Math.max(longest, to - from);
        return { arrayBuffer: async () => Uint8Array.from(bytes.subarray(from, to)).buffer };
      }
    }
    const handle = { kind: 'file', name: 'model.gguf', getFile: async () => new Lazy() };
    assert.equal(await tell(handle), story);
    assert.ok(longest <= 1 << 20);
    await file.close();
    const denied = { ...handle, getFile: () => Promise.reject(new Error('not allowed')) };
    await assert.rejects(load(denied), { code: 'IO', message: /model.gguf.*not allowed/ });
  });
});
