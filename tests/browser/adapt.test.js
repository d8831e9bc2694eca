// The page that trains an adapter: its curve, its texts and its file, with the bits of Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { defaultModel, finetune } from '../../web/index.js';
import { sha256 } from '../../web/hash.js';
import { LIMIT, setValue, text, textIs } from './page.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TEXT = 'The cat had a red boat. It was a good boat, and the sea was blue.';
const OPTIONS = { steps: 3, sequences: 2, rank: 4, rate: 0.01 };

let expected, losses;
before(async () => {
  const result = await finetune(defaultModel, TEXT, { ...OPTIONS, threads: 1 });
  ({ losses } = result);
  expected = await sha256(new Uint8Array(await result.adapter.arrayBuffer()));
});

for (const browser of BROWSERS)
  describe(`the page that trains in ${browser.name}`, installed(browser), () => {
    const errors = [];
    let server, running, page;
    before(async () => {
      server = await serve();
      running = await borrow(browser);
      page = await running.newPage();
      page.setDefaultTimeout(LIMIT);
      page.on('pageerror', (error) => errors.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      await page.setViewport({ width: 360, height: 740 });
      await page.goto(`${server.url}/examples/adapt/`);
    });
    after(async () => {
      await running?.close();
      await server?.close();
    });

    test('finetune gives the bytes of Node', async () => {
      const hash = await page.evaluate(
        async (text, options) => {
          const { defaultModel, finetune } = await import('/web/index.js');
          const { sha256 } = await import('/web/hash.js');
          const { adapter, threads } = await finetune(defaultModel, text, {
            ...options,
            threads: 2,
          });
          return `${threads} ${await sha256(new Uint8Array(await adapter.arrayBuffer()))}`;
        },
        TEXT,
        OPTIONS,
      );
      assert.equal(hash, `2 ${expected}`);
    });

    test('a text is learned, the curve shows how, and both texts appear', async () => {
      await setValue(page, '#text', TEXT);
      for (const [name, value] of Object.entries(OPTIONS))
        await setValue(page, `[name=${name}]`, String(value));
      await page.click('#train');
      await textIs(page, '#status', /^Done: 3 steps/);
      assert.match(await text(page, '#curve title'), /^The loss over 3 of 3 steps: from \d/);
      assert.equal(
        await page.$eval('#curve .curve.each:is(polyline)', (line) => line.points.length),
        losses.length,
      );
      await page.waitForSelector('#generate:not(:disabled)');
      const [plain, adapted] = [await text(page, '#plain'), await text(page, '#adapted')];
      assert.ok(plain.startsWith('Day nine. I am') && adapted.startsWith('Day nine. I am'));
      assert.notEqual(plain, adapted);
      const link = await page.$eval('#download', ({ href, download, hidden }) => [
        href.slice(0, 5),
        download,
        hidden,
      ]);
      assert.deepEqual(link, ['blob:', 'adapter.gguf', false]);
    });

    test('a run that is stopped leaves what was learned', async () => {
      await setValue(page, '[name=steps]', '5000');
      await page.click('#train');
      await textIs(page, '#status', /^Step [1-9]/);
      await page.click('#stop');
      await textIs(page, '#status', /^Stopped after [1-9]\d* steps/);
      await page.waitForSelector('#generate:not(:disabled)');
      assert.equal(await page.$eval('#download', ({ hidden }) => hidden), false);
    });

    test('it fits a phone, and nothing went wrong', async () => {
      const [width, inner] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        innerWidth,
      ]);
      assert.ok(width <= inner, `${width} of ${inner} pixels`);
      assert.deepEqual(errors, []);
    });
  });
