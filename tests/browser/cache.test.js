// The cache in the file system of a browser: in workers, in pages, between tabs.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { root } from '../node/support.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TYPES = { js: 'text/javascript', wasm: 'application/wasm', html: 'text/html' };

/** Serves the sources, and an empty page everywhere else. */
function serve() {
  const server = createServer(async (request, response) => {
    const headers = {
      'Cross-Origin-Embedder-Policy': 'require-corp',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Content-Type': TYPES[request.url.split('.').pop()] ?? TYPES.html,
    };
    const file = /^\/(web|build\/wasm|tests\/browser)\/[\w/-]+\.\w+$/.test(request.url);
    try {
      const body = file
        ? await readFile(root + request.url)
        : '<!doctype html><title>empty</title>';
      response.writeHead(200, headers).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}/`,
        close: () => (server.closeAllConnections(), server.close()),
      });
    });
  });
}

/** A tab with a worker that does what is asked. */
async function openTab(browser, server) {
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.evaluate(() => {
    globalThis.worker = new Worker('/tests/browser/cache-worker.js', { type: 'module' });
  });
  return {
    page,
    call: (name, ...args) =>
      page.evaluate(
        (name, args) =>
          new Promise((resolve, reject) => {
            worker.onmessage = ({ data: { value, error } }) =>
              error ? reject(new Error(error)) : resolve(value);
            worker.onerror = (event) => reject(new Error(`the worker failed: ${event.message}`));
            worker.postMessage({ name, args });
          }),
        name,
        args,
      ),
    inPage: (name, ...args) =>
      page.evaluate(
        async (name, args) => {
          const { commands } = await import('/tests/browser/cache-worker.js');
          return commands[name](...args);
        },
        name,
        args,
      ),
    cache: (name, ...args) =>
      page.evaluate(
        async (name, args) => {
          const { cache } = await import('/web/index.js');
          return JSON.parse(JSON.stringify((await cache[name](...args)) ?? null));
        },
        name,
        args,
      ),
  };
}

for (const kind of BROWSERS) {
  describe(`the cache in ${kind.name}`, installed(kind), () => {
    let browser, server, tab;
    before(async () => {
      server = await serve();
      browser = await borrow(kind);
      tab = await openTab(browser, server);
    });
    beforeEach(() => tab.cache('clear'));
    after(async () => {
      await browser?.close();
      server?.close();
    });

    for (const where of ['worker', 'page']) {
      test(`in a ${where} files keep what is written, replace each other and go`, async () => {
        const call = where === 'worker' ? tab.call : tab.inPage;
        assert.equal(await call('kind'), 'opfs');
        assert.deepEqual(await call('store'), {
          count: 600,
          right: true,
          size: 20,
          text: 'new',
          left: [{ name: 'a.part', size: 3 }],
          gone: null,
          absent: 'IoError',
        });
      });
    }

    test('shared memory is written and read', async () => {
      assert.deepEqual(await tab.call('shared'), [100, 100]);
    });

    test('a committed entry is complete in every tab, and listed', async () => {
      await tab.call('begin');
      await tab.call('commit');
      const other = await openTab(browser, server);
      for (const call of [tab.call, other.call, other.inPage])
        assert.deepEqual(await call('check'), { complete: true, right: true });
      const [entry, ...rest] = await other.cache('list');
      assert.equal(rest.length, 0);
      assert.equal(entry.url, 'https://host.example/model.gguf');
      assert.equal(entry.size, entry.stored);
      assert.match(entry.sha256, /^[0-9a-f]{64}$/);
      assert.equal(await other.cache('delete', entry.url), true);
      assert.equal(await other.cache('delete', entry.url), false);
      assert.deepEqual(await tab.cache('list'), []);
      await other.page.close();
    });

    test('is listed and read while another tab replaces its files', async () => {
      const other = await openTab(browser, server);
      await other.call('begin');
      await other.call('replaceOften');
      for (let i = 0; i < 15; i++) {
        assert.equal((await tab.cache('list')).length, 1);
        assert.equal((await tab.call('check')).complete, false);
      }
      await other.call('letGo');
      await other.page.close();
    });

    test('a text that goes away while it is read is read anew, or is none', async () => {
      const texts = await tab.page.evaluate(async () => {
        const { openStore } = await import('/web/cache/store.js');
        const { text } = Blob.prototype;
        const store = await openStore();
        await store.writeText('t.json', 'old');
        const during = async (change) => {
          Blob.prototype.text = async function () {
            Blob.prototype.text = text;
            await change();
            throw new DOMException('gone', 'NotFoundError');
          };
          return (await store.readText('t.json')) ?? 'none';
        };
        return [
          await during(() => store.writeText('t.json', 'new')),
          await during(() => store.remove('t.json')),
        ];
      });
      assert.deepEqual(texts, ['new', 'none']);
    });

    test('what a closed tab had written is gone on with', async () => {
      const other = await openTab(browser, server);
      await other.call('begin', [0]);
      await other.page.close();
      const [entry] = await tab.cache('list');
      assert.deepEqual([entry.complete, entry.stored], [false, 4194304]);
      assert.deepEqual(await tab.call('finish'), { stored: 4194304, whole: [true, false] });
      assert.deepEqual(await tab.call('check'), { complete: true, right: true });
    });

    test('a damaged entry is healed', async () => {
      await tab.call('begin');
      await tab.call('commit');
      await tab.call('damage');
      assert.deepEqual(await tab.call('check'), { complete: true, right: false });
      assert.deepEqual((await tab.call('finish')).whole, [false, true]);
      assert.deepEqual(await tab.call('check'), { complete: true, right: true });
    });

    test('a lock is held by one tab at a time, and freed when that is closed', async () => {
      const other = await openTab(browser, server);
      await other.call('hold');
      assert.equal(await tab.call('take', false), undefined);
      assert.equal(await tab.call('giveUp'), 'AbortError');
      const taken = tab.call('take', true);
      await other.call('letGo');
      assert.equal(await taken, 'taken');
      await other.call('hold');
      const again = tab.call('take', true);
      await other.page.close();
      assert.equal(await again, 'taken');
    });

    test('gives way to memory where pages have no files, and says why', async () => {
      const other = await openTab(browser, server);
      await other.page.evaluate(() => {
        StorageManager.prototype.getDirectory = async () => {
          throw new DOMException('not in this window', 'SecurityError');
        };
      });
      const refused = await other.cache('space');
      assert.equal(refused.kind, 'memory');
      assert.match(refused.reason, /not in this window.*private window/);
      await other.page.evaluate(() => delete StorageManager.prototype.getDirectory);
      assert.match((await other.cache('space')).reason, /no file system/);
      await other.inPage('begin');
      await other.inPage('commit');
      assert.deepEqual(await other.inPage('check'), { complete: true, right: true });
      assert.equal((await other.cache('list')).length, 1);
      assert.deepEqual(await tab.cache('list'), []);
      await other.page.close();
    });

    test('says how much it holds and whether it is safe', async () => {
      const space = await tab.cache('space');
      assert.equal(space.kind, 'opfs');
      assert.ok(space.quota > 0);
      assert.equal(typeof (await tab.call('persist')), 'boolean');
    });
  });
}

describe('a full disk', installed(BROWSERS[0]), () => {
  test('is a QuotaError that says what was needed, and what was written before is still there', async () => {
    const server = await serve();
    const browser = await borrow(BROWSERS[0]);
    try {
      const tab = await openTab(browser, server);
      await tab.call('begin');
      await tab.call('commit');
      const devtools = await tab.page.createCDPSession();
      await devtools.send('Storage.overrideQuotaForOrigin', {
        origin: new URL(server.url).origin,
        quotaSize: 20 << 20,
      });
      const error = await tab.call('fill', 200 << 20);
      assert.equal(error?.name, 'QuotaError');
      assert.equal(error.needed, 4 << 20);
      // Browsers need not tell how much is left; what they tell must not contradict the failure.
      assert.ok((error.available ?? 0) < error.needed, JSON.stringify(error));
      assert.match(error.message, /cache\.clear\(\)/);
      assert.deepEqual(await tab.call('check'), { complete: true, right: true });
    } finally {
      await browser.close();
      server.close();
    }
  });
});
