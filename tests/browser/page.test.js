// The example page in real browsers, with threads and without.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/web/serve.js';
import { PROMPT, modelPath, native, nativeProgram, needs } from '../node/support.js';
import { BROWSERS, installed, start } from './support.js';

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000, 8, 15, 2000, 42, 7, 7, 7, 300, 301, 302, 5, 9];
const LIMIT = 60_000;

/** Opens the page and waits until the model is there. */
async function openPage(browser, server) {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await page.goto(`${server.url}/examples/web/`);
  await page.waitForSelector('#tell:not(:disabled)', { timeout: LIMIT });
  return { page, errors };
}

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

for (const browserKind of BROWSERS) {
  for (const isolated of [true, false]) {
    const title = `${browserKind.name}, ${isolated ? 'cross-origin isolated' : 'not isolated'}`;
    describe(title, installed(browserKind), () => {
      let browser, server, page, errors;
      before(async () => {
        server = await serve({ isolated });
        browser = await start(browserKind);
        ({ page, errors } = await openPage(browser, server));
      });
      after(async () => {
        await browser?.close();
        await server?.close();
      });

      test('the page loads the model that comes with it', async () => {
        assert.match(await text(page, '#status'), /Ready/);
        const threads = Number(await text(page, '#threads'));
        assert.match(await text(page, '#variant'), /^(relaxed|simd)$/);
        assert.equal(
          threads > 1,
          isolated && (await page.evaluate(() => navigator.hardwareConcurrency)) > 1,
        );
        const why = await page.$eval('#why', (element) =>
          element.hidden ? '' : element.textContent,
        );
        assert.equal(/isolated/.test(why), !isolated);
      });

      test('tells a story and says how fast', async () => {
        await page.$eval('#prompt', (element, value) => (element.value = value), PROMPT);
        await page.$eval('#length', (element) => (element.value = 30));
        await page.click('#tell');
        await page.waitForFunction(
          () => /tokens in/.test(document.querySelector('#status').textContent),
          { timeout: LIMIT },
        );
        const story = await text(page, '#story');
        assert.ok(story.startsWith(PROMPT) && story.length > PROMPT.length + 20, story);
        assert.match(await text(page, '#speed'), /^\d+ tokens\/s$/);
      });

      test('stops when told to', async () => {
        await page.$eval('#length', (element) => (element.value = 4000));
        await page.click('#tell');
        await page.waitForFunction(() => document.querySelector('#story').textContent.length > 80, {
          timeout: LIMIT,
        });
        await page.click('#stop').catch(() => {}); // unless the story has just ended
        await page.waitForFunction(
          () => document.querySelector('#story').getAttribute('aria-busy') === 'false',
          { timeout: LIMIT },
        );
        assert.equal(await page.$eval('#tell', (element) => element.disabled), false);
      });

      test('measures the model and copies the figures', async () => {
        await page.click('#measure');
        await page.waitForSelector('#copy:not([hidden])', { timeout: LIMIT });
        const rows = await page.$$eval('#figures tr', (all) =>
          all.map((row) => [...row.cells].map((cell) => cell.textContent)),
        );
        const figures = Object.fromEntries(rows);
        for (const name of ['Prefill', 'Decode']) assert.match(figures[name], /^[\d.]+ tokens\/s$/);
        assert.match(figures['Weights read in decoding'], /^[\d.]+ GB\/s$/);
        assert.match(figures['Products in prefill'], /^[\d.]+ Gop\/s$/);
        assert.equal(figures.Threads, await text(page, '#threads'));
        assert.match(await text(page, '#origin'), new RegExp(browserKind.agent));
        const copied = await page.evaluate(async () => {
          let given;
          navigator.clipboard.writeText = async (json) => (given = json);
          document.querySelector('#copy').click();
          await new Promise((resolve) => setTimeout(resolve));
          return given;
        });
        const [result] = JSON.parse(copied);
        assert.ok(result.prefill > 0 && result.decode > 0 && result.firstTokenSeconds > 0);
        assert.equal(await text(page, '#copy'), 'Copied');
        assert.equal(await text(page, '#measure'), 'Measure');
        assert.equal(await page.$eval('#tell', (element) => element.disabled), false);
      });

      test('computes the same bits as the native program', needs(nativeProgram), async () => {
        const expected = await native('parity', '-m', modelPath, '--tokens', TOKENS.join(','));
        const hashes = await page.evaluate(async (tokens) => {
          const { load, defaultModel } = await import('/web/index.js');
          const { parityHash } = await import('/web/parity.js');
          const found = {};
          for (const isa of [undefined, 'simd128']) {
            const model = await load(defaultModel, { isa });
            found[model.info.variant] = await parityHash(await model.logits(tokens));
            await model.dispose();
          }
          return found;
        }, TOKENS);
        assert.ok(Object.keys(hashes).length >= 1);
        for (const [variant, hash] of Object.entries(hashes)) assert.equal(hash, expected, variant);
      });

      test('takes a file that is picked, and says what is wrong with it', async () => {
        const input = await page.$('#file');
        await input.uploadFile(modelPath);
        await page.waitForFunction(
          () =>
            document.querySelector('#model-name').textContent.endsWith('.gguf') &&
            !document.querySelector('#tell').disabled,
          { timeout: LIMIT },
        );
        await input.uploadFile(new URL('../../package.json', import.meta.url).pathname);
        await page.waitForSelector('#status.failed', { timeout: LIMIT });
        assert.match(await text(page, '#status'), /GGUF/);
      });

      test('says nothing on the console', () => assert.deepEqual(errors, []));
    });
  }
}
