// Choosing a model in the example page: addresses, names on a hub, files; what is fetched can pause.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { serveFaulty } from '../node/faulty.js';
import { modelPath } from '../node/support.js';
import { front, openPage, ready, setValue, text, textIs } from './page.js';
import { randomModel } from './random-model.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const CHUNK = 4 << 20;
const FILE = '/tales/random/resolve/main/model.gguf';
const TREE = '/api/models/tales/random/tree/main/';
const NAME = 'hf:tales/random/model.gguf';

for (const kind of BROWSERS)
  describe(`the page in ${kind.name}`, installed(kind), () => {
    let bytes, sha256, browser, server, hub, page, errors;
    before(async () => {
      bytes = await randomModel();
      sha256 = createHash('sha256').update(bytes).digest('hex');
      server = await serve();
      hub = await serveFaulty(bytes);
      front(hub, server.url, ['/tales/', '/api/']);
      hub.routes[TREE] = [
        { type: 'file', path: 'model.gguf', size: bytes.length, lfs: { oid: sha256 } },
      ];
      browser = await borrow(kind);
      ({ page, errors } = await openPage(browser, hub.origin));
      await page.click('#tab-model');
    });
    beforeEach(() => hub.calm());
    after(async () => {
      await browser?.close();
      await server?.close();
      await hub?.close();
    });

    /** Asks for the plan of a source. */
    async function look(source) {
      await setValue(page, '#source', source);
      await page.click('#show-plan');
      await page.waitForSelector('#plan:not([hidden])');
    }

    /** Lets two chunks through, and pauses when they are there; gives the addresses asked for. */
    async function pauseMidway() {
      hub.calm();
      const asked = () => hub.log.filter(({ url }) => url === FILE).length;
      let release;
      const hold = new Promise((resolve) => (release = resolve));
      hub.fault = () => (asked() > 2 ? { hold } : undefined);
      await page.click('#fetch');
      while ((await stored()) < 2 * CHUNK);
      assert.equal(await text(page, '#pause'), 'Pause');
      await page.click('#pause');
      await textIs(page, '#source-status', /is paused: what is here stays here/);
      assert.equal(await text(page, '#pause'), 'Go on');
      release(); // a browser has few connections to a host
      const urls = hub.log.map(({ url }) => url);
      hub.calm();
      return urls;
    }

    /** Bytes that are there of what is not complete. */
    const stored = () =>
      page.evaluate(async () => {
        const { cache } = await import('/web/index.js');
        // While a manifest is replaced, there may be none for a moment.
        const entries = await cache.list().catch(() => []);
        return entries
          .filter(({ complete }) => !complete)
          .reduce((sum, { stored }) => sum + stored, 0);
      });

    /** Until that many files are kept: what is told of each. */
    async function kept(count) {
      await page.waitForFunction(
        (count) => document.querySelectorAll('#kept li').length === count,
        {},
        count,
      );
      return page.$$eval('#kept li', (all) => all.map(({ textContent }) => textContent));
    }

    test('shows the plan of an address before it loads it', async () => {
      await look('/examples/models/tales-5.8m-q4_0.gguf');
      assert.match(await text(page, '#plan-rows'), /5\.8 M parameters, llama/);
      assert.match(await text(page, '#plan-verdict'), /^It fits here/);
      await page.click('#fetch');
      await textIs(page, '#source-status', /^tales-5\.8m-q4_0\.gguf is ready/);
    });

    test('pauses a download and goes on with what is missing', async () => {
      await look(hub.origin + FILE);
      assert.match(await text(page, '#plan-rows'), /File17\.9 MBDisk/);
      await pauseMidway();
      assert.deepEqual(await kept(1), ['model.gguf17.9 MB, not completeGo onDelete']);
      assert.match(await text(page, '#loading-text'), /^\d+\.\d MB of 17\.9 MB/);
      await page.click('#pause');
      await textIs(page, '#source-status', /^model\.gguf is ready/);
      assert.equal(hub.sent(), bytes.length - 2 * CHUNK);
      assert.equal(await page.$eval('#loading', ({ hidden }) => hidden), true);
      assert.match(await text(page, '#model-facts'), /^llama, 8\.9 M parameters/);
    });

    test('finds a name on the hub that it is told, and goes on with it after a reload', async () => {
      await page.click('#hub-details summary');
      await setValue(page, '#hub', hub.origin);
      await look(NAME);
      assert.ok(hub.log.some(({ url }) => url === FILE));
      assert.ok((await pauseMidway()).includes(TREE)); // which tells the SHA-256
      await page.reload();
      await ready(page);
      assert.equal(await page.$eval('#hub', ({ value }) => value), '');
      await page.focus('#tab-chat');
      await page.keyboard.press('ArrowRight');
      const entries = await kept(2);
      const index = entries.indexOf('model.gguf@main17.9 MB, not completeGo onDelete');
      assert.ok(index >= 0, entries.join());
      await page.$eval(`#kept li:nth-child(${index + 1}) button`, (button) => button.click());
      await textIs(page, '#source-status', /^model\.gguf@main is ready/);
      assert.equal(hub.sent(), bytes.length - 2 * CHUNK);
    });

    test('deletes what is kept', async () => {
      await page.$eval('#kept li button.quiet', (button) => button.click());
      assert.match((await kept(1))[0], /17\.9 MBLoadDelete$/);
    });

    test('keeps no second copy of a download for the time without network', async () => {
      const names = await page.evaluate(async () => {
        const all = await (await caches.open('halfbyte-page')).keys();
        return all.map(({ url }) => new URL(url).pathname);
      });
      assert.ok(names.includes('/examples/chat/app.js'));
      assert.deepEqual(
        names.filter((name) => name.endsWith('.gguf')),
        ['/examples/models/tales-5.8m-q4_0.gguf'],
      );
    });

    test('says what a hub that fails or a wrong name comes to', async () => {
      await setValue(page, '#source', 'hf:nonsense');
      await page.click('#show-plan');
      await textIs(page, '#source-status', /hf:owner\/repo\/file\.gguf/);
      await setValue(page, '#hub', 'nowhere');
      await setValue(page, '#source', NAME);
      await page.click('#show-plan');
      await textIs(page, '#source-status', /hub must be an address/);
      assert.ok(await page.$('#source-status.failed'));
    });

    test('takes a file that is dropped on it', async () => {
      const overlay = await page.evaluate(async (path) => {
        const blob = await (await fetch(path)).blob();
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([blob], 'dropped.gguf'));
        const drag = (name) =>
          document.body.dispatchEvent(
            new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer }),
          );
        const shown = () => !document.querySelector('#drop').hidden;
        const seen = [shown()];
        const taken = [drag('dragover')];
        seen.push(shown());
        taken.push(drag('drop'));
        return { seen: [...seen, shown()], left: taken };
      }, '/examples/models/tales-5.8m-q4_0.gguf');
      assert.deepEqual(overlay, { seen: [false, true, false], left: [false, false] });
      await textIs(page, '#source-status', /^dropped\.gguf is ready/);
      assert.equal(await text(page, '#model-name'), 'dropped.gguf');
    });

    test('takes a file that is picked, and says what is wrong with it', async () => {
      const input = await page.$('#file');
      await input.uploadFile(modelPath);
      await textIs(page, '#source-status', /^tales-5\.8m-q4_0\.gguf is ready/);
      await ready(page);
      await input.uploadFile(new URL('../../package.json', import.meta.url).pathname);
      await page.waitForSelector('#status.failed');
      assert.match(await text(page, '#status'), /^package\.json: .*GGUF/);
    });

    test('says what suits this device', async () => {
      await page.click('#advise');
      await textIs(page, '#advice', /tokens a second|None of/);
    });

    test('says nothing on the console', () => assert.deepEqual(errors, []));
  });
