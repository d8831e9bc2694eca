// Downloads of models by pages: what is kept outlives tabs, and tabs share what they fetch.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { serveFaulty } from '../node/faulty.js';
import { root } from '../node/support.js';
import { randomModel } from './random-model.js';
import { borrow } from './shared.js';
import { BROWSERS, installed, start } from './support.js';

const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };
const CHUNK = 4 << 20;

/** What the engine's worker runs first. */
let prelude = '';

/** The sources, and an empty page. */
function sources(request, response) {
  if (request.url === '/') {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>x</title>');
    return true;
  }
  if (request.url === '/model.gguf') return false;
  if (!/^\/(web|build\/wasm)\/[\w/-]+\.\w+$/.test(request.url))
    return Boolean(response.writeHead(404).end());
  readFile(root + request.url).then(
    (body) =>
      response
        .writeHead(200, { 'Content-Type': TYPES[request.url.split('.').pop()] })
        .end(request.url === '/web/worker.js' ? prelude + body : body),
    () => response.writeHead(404).end(),
  );
  return true;
}

/** Loads a model in a page: the hash of its logits, or the code of the error. */
const loadIn = (page, url, options) =>
  page.evaluate(
    async (url, options) => {
      const { load } = await import('/web/index.js');
      try {
        const model = await load(url, { threads: 1, ...options });
        const logits = await model.logits([1, 2, 3]);
        await model.dispose();
        return Array.from(logits.slice(0, 20));
      } catch (error) {
        return String(error.stack);
      }
    },
    url,
    options,
  );

/** How it goes: why the file was not kept, or what the error says. */
const outcomeIn = (page, url, options) =>
  page.evaluate(
    async (url, options) => {
      const { load } = await import('/web/index.js');
      try {
        const model = await load(url, { threads: 1, ...options });
        const logits = await model.logits([1, 2, 3]);
        const { notKept } = model.info;
        await model.dispose();
        return { notKept, logits: Array.from(logits.slice(0, 20)) };
      } catch ({ name, message, needed, available }) {
        return { name, message, needed, available };
      }
    },
    url,
    options,
  );

const stored = (page) =>
  page.evaluate(async () => {
    const { cache } = await import('/web/index.js');
    return (await cache.list()).reduce((sum, { stored }) => sum + stored, 0);
  });

for (const browserKind of BROWSERS)
  describe(`downloads in ${browserKind.name}`, installed(browserKind), () => {
    let bytes, sha256, server, other, browser, expected;

    before(async () => {
      bytes = await randomModel();
      assert.ok(bytes.length > 3 * CHUNK, `${bytes.length}`);
      sha256 = createHash('sha256').update(bytes).digest('hex');
      server = await serveFaulty(bytes);
      server.elsewhere = sources;
      other = await serveFaulty(bytes);
      browser = await borrow(browserKind);
      const page = await openPage();
      expected = await loadIn(page, server.url, { cache: false, sha256 });
      assert.equal(expected.length, 20, expected);
      await page.close();
    });
    after(async () => {
      await browser?.close();
      await server?.close();
      await other?.close();
    });

    async function openPage() {
      const page = await browser.newPage();
      await page.goto(server.origin);
      return page;
    }

    let page;
    beforeEach(async () => {
      server.calm();
      other.calm();
      page = await openPage();
      await page.evaluate(async () => (await import('/web/index.js')).cache.clear());
      return () => page.close();
    });

    test('are kept, and need no request in another tab', async () => {
      assert.deepEqual(await loadIn(page, server.url, { sha256, cache: true }), expected);
      assert.equal(server.sent(), bytes.length);
      await page.close();
      server.calm();
      page = await openPage();
      assert.deepEqual(await loadIn(page, server.url, { cache: true }), expected);
      assert.equal(server.requests(), 0);
    });

    test('come from another origin that allows them and nothing more', async () => {
      other.headers = { 'Access-Control-Allow-Origin': '*' };
      other.elsewhere = (request, response) =>
        request.method === 'OPTIONS' && Boolean(response.writeHead(405).end());
      other.fault = (_, n) => (n === 1 ? { cutAfter: 1_000_000 } : undefined);
      assert.deepEqual(await loadIn(page, other.url, { sha256, cache: true }), expected);
      other.calm();
      assert.deepEqual(await loadIn(page, other.url, { cache: true }), expected);
      assert.equal(other.requests(), 0);
    });

    test('follow a redirect to another origin, and tell it no Authorization', async () => {
      server.fault = () => ({ redirect: other.url });
      other.headers = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': '*' };
      other.elsewhere = ({ method }, response) =>
        method === 'OPTIONS' && Boolean(response.writeHead(204, other.headers).end());
      const headers = { Authorization: 'Bearer secret' };
      const { logits } = await outcomeIn(page, server.url, { headers, sha256, cache: true });
      assert.deepEqual(logits, expected);
      const sent = (log) => log.filter(({ headers }) => headers.authorization).length;
      assert.ok(sent(server.log) > 0);
      assert.equal(sent(other.log), 0);
    });

    test('go on where a closed tab left them', async () => {
      server.fault = (_, n) => (n >= 2 ? { hold: new Promise(() => {}) } : undefined);
      const first = await openPage();
      void loadIn(first, server.url, { cache: true }).catch(() => {});
      while ((await stored(page)) < 2 * CHUNK);
      await first.close();
      server.calm();
      assert.deepEqual(await loadIn(page, server.url, { cache: true, sha256 }), expected);
      assert.equal(server.sent(), bytes.length - 2 * CHUNK);
    });

    test('are shared by two tabs', async () => {
      const second = await openPage();
      const both = [page, second].map((tab) => loadIn(tab, server.url, { cache: true }));
      assert.deepEqual(await Promise.all(both), [expected, expected]);
      assert.equal(server.sent(), bytes.length);
      await second.close();
    });

    test('heal what was damaged in the browser’s file system', async () => {
      await loadIn(page, server.url, { cache: true });
      await page.evaluate(async (at) => {
        const top = await navigator.storage.getDirectory();
        async function* files(folder) {
          for await (const entry of folder.values())
            if (entry.kind === 'file') yield entry;
            else yield* files(entry);
        }
        for await (const file of files(top)) {
          if (!file.name.endsWith('.gguf')) continue;
          const stream = await file.createWritable({ keepExistingData: true });
          await stream.write({ type: 'write', position: at, data: Uint8Array.of(1, 2, 3) });
          await stream.close();
        }
      }, CHUNK + 5);
      server.calm();
      assert.deepEqual(await loadIn(page, server.url, { cache: true }), expected);
      assert.equal(server.sent(), CHUNK);
    });

    test('are used and not kept where a page has no files, and the model says why', async () => {
      for (const [broken, reason] of [
        ['async () => { throw new DOMException("not in this window", "SecurityError"); }', /private/],
        ['undefined', /no file system/],
      ]) {
        prelude = `StorageManager.prototype.getDirectory = ${broken};\n`;
        try {
          const { notKept, logits } = await outcomeIn(page, server.url, { sha256 });
          assert.deepEqual(logits, expected);
          assert.match(notKept, reason);
          const { name, message } = await outcomeIn(page, server.url, { cache: true });
          assert.equal(name, 'IoError');
          assert.match(message, reason);
        } finally {
          prelude = '';
        }
      }
      assert.equal(await stored(page), 0);
      const { notKept, logits } = await outcomeIn(page, server.url, { sha256 });
      assert.equal(notKept, undefined);
      assert.deepEqual(logits, expected);
      assert.equal(await stored(page), bytes.length);
    });

    test('survive a server that cuts, stalls and refuses', async () => {
      server.fault = (_, n) =>
        [{ cutAfter: 300_000 }, { status: 503 }, { status: 429 }, { whole: true }, undefined][
          n % 5
        ];
      assert.deepEqual(await loadIn(page, server.url, { cache: true, sha256 }), expected);
    });
  });

/** Stores so many bytes; `free` removes them. */
const fill = (page, bytes) =>
  page.evaluate(async (bytes) => {
    const folder = await navigator.storage.getDirectory();
    const stream = await (await folder.getFileHandle('filler', { create: true })).createWritable();
    await stream.write(new Uint8Array(bytes));
    await stream.close();
  }, bytes);
const free = (page) =>
  page.evaluate(async () => (await navigator.storage.getDirectory()).removeEntry('filler'));

for (const kind of BROWSERS)
  describe(`a full disk in ${kind.name}`, installed(kind), () => {
    test('is told before the first byte, or done without, and room makes it good', async () => {
      const bytes = await randomModel();
      const server = await serveFaulty(bytes);
      server.elsewhere = sources;
      const MiB = 1 << 20;
      const extraPrefsFirefox = { 'dom.quotaManager.temporaryStorage.fixedLimit': 250 << 10 };
      const browser = await start({ ...kind, options: { ...kind.options, extraPrefsFirefox } });
      try {
        const page = await browser.newPage();
        await page.goto(server.origin);
        // Chromium does not tell pages how much is left: there the writing fails.
        const told = kind.agent === 'Firefox';
        let quota = 50 * MiB;
        if (told) quota = await page.evaluate(async () => (await navigator.storage.estimate()).quota);
        else {
          const devtools = await page.createCDPSession();
          await devtools.send('Storage.overrideQuotaForOrigin', {
            origin: server.origin,
            quotaSize: quota,
          });
        }
        await fill(page, quota - 6 * MiB);

        const error = await outcomeIn(page, server.url, { cache: true });
        assert.equal(error.name, 'QuotaError', JSON.stringify(error));
        if (told) assert.equal(error.needed, bytes.length);
        assert.ok(error.needed > 0 && (error.available ?? 0) < error.needed, JSON.stringify(error));
        assert.match(error.message, /cache\.clear\(\)/);

        const { notKept, logits } = await outcomeIn(page, server.url);
        assert.match(notKept, /cache\.clear\(\)/);
        assert.equal(logits.length, 20);
        assert.ok((await stored(page)) < 6 * MiB);

        await free(page);
        assert.deepEqual(await loadIn(page, server.url, { cache: true }), logits);
        server.calm();
        assert.deepEqual(await loadIn(page, server.url, { cache: true }), logits);
        assert.equal(server.requests(), 0);
      } finally {
        await browser.close();
        await server.close();
      }
    });
  });
