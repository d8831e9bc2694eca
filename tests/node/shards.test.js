// Models in several files on a server: by a list, by the first one's URL, by its name on a hub.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openEntry } from '../../web/cache/entry.js';
import { openStore } from '../../web/cache/store.js';
import { load } from '../../web/index.js';
import { split } from '../cli/split.js';
import { serveFaulty } from './faulty.js';
import { modelPath } from './support.js';

const COUNT = 3;
const TOKENS = [1, 50, 299, 3, 77];
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

describe('a model in several files', () => {
  let folder, names, files, whole, server, expected, cache;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'halfbyte-'));
    const paths = split(folder, COUNT);
    names = paths.map((path) => basename(path));
    files = await Promise.all(paths.map((path) => readFile(path)));
    whole = files.reduce((sum, { length }) => sum + length, 0);
    server = await serveFaulty(files[0]);
    expected = await logitsOf(modelPath);
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    cache = await mkdtemp(join(folder, 'cache-'));
    server.calm();
    server.routes = {};
    server.files = {};
    put('/');
  });

  /** Lets the server have the files in a folder. */
  function put(place) {
    for (const [i, name] of names.entries()) server.files[place + name] = files[i];
  }

  /** Some of the model's logits, as bytes: nothing is equal to them but the same weights. */
  async function logitsOf(source, options) {
    const model = await load(source, { threads: 1, ...options });
    const logits = await model.logits(TOKENS);
    await model.dispose();
    return sha256(new Uint8Array(logits.buffer));
  }

  const urls = () => names.map((name) => `${server.origin}/${name}`);

  /** Loads it, then once more without a request, and looks at what is kept. */
  async function comesWhole(source, identities, options) {
    assert.equal(await logitsOf(source, { cache, ...options }), expected);
    assert.equal(server.sent(), whole);
    server.calm();
    const { sha256: hashes, ...again } = { cache, ...options };
    assert.equal(await logitsOf(source, again), expected);
    assert.equal(server.requests(), 0);
    const store = await openStore({ path: cache });
    for (const [i, identity] of identities.entries()) {
      const entry = await openEntry(store, identity);
      assert.ok(entry.complete, identity);
      assert.equal(await entry.hashAll(), sha256(files[i]));
      await entry.close();
    }
  }

  test('comes from a list of URLs, each with its SHA-256', async () => {
    await comesWhole(urls(), urls(), { sha256: files.map(sha256) });
    await rm(cache, { recursive: true });
    const wrong = files.map((bytes, i) => (i === 1 ? '0'.repeat(64) : sha256(bytes)));
    await assert.rejects(logitsOf(urls(), { cache, sha256: wrong }), {
      code: 'INTEGRITY',
      actual: sha256(files[1]),
    });
  });

  test('comes from the URL of its first file, with a query behind it', async () => {
    await comesWhole(urls()[0], urls());
    for (const name of names) server.files[`/${name}?download=true`] = server.files[`/${name}`];
    server.files['/'] = {};
    await rm(cache, { recursive: true });
    server.calm();
    const queries = urls().map((url) => `${url}?download=true`);
    await comesWhole(queries[0], queries);
  });

  test('comes from its first file’s name on a hub, which tells what each has to be', async () => {
    const place = '/tales/tiny/resolve/main/q4/';
    put(place);
    const listing = files.map((bytes, i) => ({
      type: 'file',
      path: `q4/${names[i]}`,
      size: bytes.length,
      lfs: { oid: sha256(bytes), size: bytes.length },
    }));
    const tree = '/api/models/tales/tiny/tree/main/q4';
    server.routes[tree] = listing;
    const hubName = (name) => `hf:tales/tiny/q4/${name}`;
    const identities = names.map((name) => `${server.origin} ${hubName(name)}@main`);
    await comesWhole(hubName(names[0]), identities, { hub: server.origin });
    await rm(cache, { recursive: true });
    server.routes[tree] = listing.with(2, { ...listing[2], lfs: { oid: '0'.repeat(64) } });
    await assert.rejects(logitsOf(hubName(names[0]), { cache, hub: server.origin }), {
      code: 'INTEGRITY',
      actual: sha256(files[2]),
    });
  });

  test('goes on with what was kept when the second file breaks off', async () => {
    server.fault = ({ url }) => (url.includes('00002') ? { status: 404 } : undefined);
    await assert.rejects(logitsOf(urls()[0], { cache }), { code: 'NETWORK', status: 404 });
    server.calm();
    assert.equal(await logitsOf(urls()[0], { cache }), expected);
    assert.equal(server.sent(), whole - files[0].length);
  });

  test('tells its total before its second file begins', async () => {
    const seen = [];
    let tell;
    const told = new Promise((resolve) => (tell = resolve));
    server.fault = ({ url, method }) =>
      url.includes('00002') && method === 'GET' ? { hold: told } : undefined;
    const onProgress = (progress) => {
      seen.push(progress);
      if (progress.total !== undefined) tell();
    };
    await logitsOf(urls()[0], { cache, onProgress });
    const totals = seen.map(({ total }) => total);
    const known = totals.findIndex((total) => total !== undefined);
    assert.ok(seen[known].loaded <= files[0].length);
    assert.deepEqual([...new Set(totals.slice(known))], [whole]);
    assert.equal(seen.at(-1).loaded, whole);
  });

  test('is loaded from a server that refuses to tell the sizes', async () => {
    server.fault = ({ method }) => (method === 'HEAD' ? { status: 405 } : undefined);
    const seen = [];
    const onProgress = (progress) => seen.push(progress);
    assert.equal(await logitsOf(urls()[0], { cache, onProgress }), expected);
    assert.equal(seen.at(-1).total, whole);
  });
});
