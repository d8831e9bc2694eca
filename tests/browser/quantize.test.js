// Quantizing in pages: the files that Node makes, which are those of the native program.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { load, quantize } from '../../web/index.js';
import { openSource } from '../../web/sources.js';
import { serveFaulty } from '../node/faulty.js';
import { text } from '../node/quantizing.js';
import { root } from '../node/support.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };
const SHAPE = { shape: '64,2,4,2,128,300', type: 'f16' };
const CALIBRATED = { type: 'q4_0', calibration: text, samples: 4, length: 32 };
const TOKENS = [1, 50, 299, 3, 77];

const shared = { 'Cross-Origin-Embedder-Policy': 'require-corp' };
const isolated = { ...shared, 'Cross-Origin-Opener-Policy': 'same-origin' };

/** The sources, and an empty page, at /isolated one that may share memory between its threads. */
function sources(request, response) {
  if (request.url === '/model.gguf') return false;
  if (request.url === '/' || request.url === '/isolated') {
    const headers = request.url === '/' ? {} : isolated;
    response.writeHead(200, { 'Content-Type': 'text/html', ...headers });
    return Boolean(response.end('<!doctype html><title>x</title>'));
  }
  if (!/^\/(web|build\/wasm)\/[\w/-]+\.\w+$/.test(request.url))
    return Boolean(response.writeHead(404).end());
  const headers = { 'Content-Type': TYPES[request.url.split('.').pop()], ...shared };
  readFile(root + request.url).then(
    (body) => response.writeHead(200, headers).end(body),
    () => response.writeHead(404).end(),
  );
  return true;
}

/** The file of the model with random weights. */
async function modelBytes() {
  const reader = await openSource({ kind: 'synthetic', ...SHAPE, seed: 1n }, {});
  const bytes = Buffer.alloc(reader.size);
  for (let at = 0, n; (n = await reader.read(() => bytes.subarray(at))) > 0;) at += n;
  return bytes;
}

const hashOf = async (blob) =>
  createHash('sha256')
    .update(Buffer.from(await blob.arrayBuffer()))
    .digest('hex');

/** Quantizes in a page: the hash of the file and what is said of it. */
const quantizeIn = (page, source, options) =>
  page.evaluate(
    async (source, options) => {
      const { quantize } = await import('/web/index.js');
      const { sha256 } = await import('/web/hash.js');
      const file = async () => new File([await (await fetch('/model.gguf')).blob()], 'model.gguf');
      const given = source === 'a file' ? await file() : source;
      const phases = new Set();
      const onProgress = ({ phase }) => phases.add(phase);
      const { blob, threads, tensors } = await quantize(given, { ...options, onProgress });
      const hash = await sha256(new Uint8Array(await blob.arrayBuffer()));
      return { hash, threads, tensors: tensors.length, phases: [...phases] };
    },
    source,
    options,
  );

/** What lies in the file system of the page's origin. */
const storedIn = (page) =>
  page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const names = [];
    for await (const folder of root.values())
      for await (const name of folder.keys()) names.push(name);
    return names;
  });

for (const browser of BROWSERS)
  describe(`quantizing in ${browser.name}`, installed(browser), () => {
    let server, running, page, calibrated, plain;
    before(async () => {
      server = await serveFaulty(await modelBytes());
      server.elsewhere = sources;
      running = await borrow(browser);
      page = await running.newPage();
      await page.goto(`${server.origin}/`);
      calibrated = await hashOf((await quantize(SHAPE, CALIBRATED)).blob);
      plain = await hashOf((await quantize(SHAPE, { type: 'q4_0' })).blob);
    });
    after(async () => {
      await running?.close();
      await server?.close();
    });

    test('makes the same files of a File, a shape and a URL, and leaves what was downloaded', async () => {
      const file = await quantizeIn(page, 'a file', CALIBRATED);
      assert.deepEqual(
        { ...file, phases: [] },
        { hash: calibrated, threads: 1, tensors: 20, phases: [] },
      );
      assert.deepEqual(file.phases, ['quantize']);
      assert.equal((await quantizeIn(page, SHAPE, { type: 'q4_0' })).hash, plain);
      assert.deepEqual(await storedIn(page), []);
      assert.equal((await quantizeIn(page, '/model.gguf', { type: 'q4_0' })).hash, plain);
      assert.equal((await storedIn(page)).filter((name) => name.endsWith('.gguf')).length, 1);
    });

    test('with threads, too', async () => {
      const other = await running.newPage();
      await other.goto(`${server.origin}/isolated`);
      const { hash, threads } = await quantizeIn(other, 'a file', { ...CALIBRATED, threads: 2 });
      assert.deepEqual({ hash, threads }, { hash: calibrated, threads: 2 });
    });

    test('while it loads, once', async () => {
      const model = await load(SHAPE, { quantize: 'q4_0', threads: 1 });
      const expected = Array.from(await model.logits(TOKENS));
      await model.dispose();
      const loadIn = () =>
        page.evaluate(async (tokens) => {
          const { load } = await import('/web/index.js');
          const model = await load('/model.gguf?fresh', { quantize: 'q4_0', threads: 1 });
          const logits = Array.from(await model.logits(tokens));
          const { cached } = model.info.quantization;
          await model.dispose();
          return { logits, cached };
        }, TOKENS);
      server.elsewhere = (request, response) =>
        request.url !== '/model.gguf?fresh' && sources(request, response);
      assert.deepEqual(await loadIn(), { logits: expected, cached: false });
      server.calm();
      assert.deepEqual(await loadIn(), { logits: expected, cached: true });
      assert.equal(server.requests(), 0);
    });

    test('leaves nothing when it is aborted', async () => {
      const before = await storedIn(page);
      const code = await page.evaluate(
        async (source, options) => {
          const { quantize } = await import('/web/index.js');
          const stop = new AbortController();
          const onProgress = ({ phase }) => phase === 'quantize' && stop.abort();
          try {
            await quantize(source, { ...options, onProgress, signal: stop.signal });
          } catch (error) {
            return error.code;
          }
        },
        SHAPE,
        { ...CALIBRATED, samples: 64, length: 64 },
      );
      assert.equal(code, 'ABORTED');
      assert.deepEqual(await storedIn(page), before);
    });
  });
