// Planning and measuring in browsers: the same answers as in Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { defaultModel, load } from '../../web/index.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TEXT = 'Once upon a time there was a king who had three sons and a daughter. '.repeat(10);

/** What Node measures with the embedded model. */
async function expected() {
  const model = await load(defaultModel);
  const { perplexity } = await model.perplexity(TEXT);
  const [vector] = await model.embed([TEXT.slice(0, 69)]);
  await model.dispose();
  return { perplexity, vector: Array.from(vector) };
}

for (const browser of BROWSERS)
  describe(`measuring in ${browser.name}`, installed(browser), () => {
    let server;
    let running;
    let page;
    before(async () => {
      server = await serve({ port: 0 });
      running = await borrow(browser);
      page = await running.newPage();
      await page.goto(`${server.url}`);
    });
    after(async () => {
      await running?.close();
      await server?.close();
    });

    test('gives known answers on every variant', async () => {
      const { passed, checks } = await page.evaluate(async () => {
        const { selfTest } = await import('/web/index.js');
        return selfTest();
      });
      assert.equal(passed, true, JSON.stringify(checks));
      assert.ok(checks.some(({ isa, threads }) => isa === 'simd128' && threads === 2));
    });

    test('foretells memory and disk', async () => {
      const { found, memoryBytes } = await page.evaluate(async () => {
        const { defaultModel, load, plan } = await import('/web/index.js');
        const found = await plan(`${defaultModel.href}?downloaded`);
        const model = await load(defaultModel);
        const { memoryBytes } = model.info;
        await model.dispose();
        return { found, memoryBytes };
      });
      assert.equal(found.fits, true);
      assert.ok(Math.abs(found.memory.total - memoryBytes) < 8 << 20);
      assert.ok(found.disk.available > 0);
      assert.ok(found.disk.needed > 3e6);
    });

    test('measures what Node does', async () => {
      const found = await page.evaluate(async (text) => {
        const { defaultModel, load } = await import('/web/index.js');
        const model = await load(defaultModel);
        const { perplexity } = await model.perplexity(text);
        const [vector] = await model.embed([text.slice(0, 69)]);
        const comparison = await model.compare(model, text);
        await model.dispose();
        return { perplexity, vector: Array.from(vector), comparison };
      }, TEXT);
      const { perplexity, vector } = await expected();
      assert.equal(found.perplexity.toFixed(9), perplexity.toFixed(9));
      assert.deepEqual(found.vector, vector);
      assert.equal(found.comparison.meanKl, 0);
    });

    test('recommends models', async () => {
      const { slowest, fits } = await page.evaluate(async () => {
        const { recommend } = await import('/web/index.js');
        const { models, best } = await recommend({ speed: 0 });
        const slowest = Math.min(...models.map(({ tokensPerSecond }) => tokensPerSecond));
        return { slowest, fits: best.fits };
      });
      assert.ok(slowest > 0);
      assert.equal(fits, true);
    });
  });
