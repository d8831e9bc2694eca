// The measurements of the example page: figures, plots and quality, with values that can be checked.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { defaultModel, load } from '../../web/index.js';
import { PROMPT, modelPath } from '../node/support.js';
import { openPage, setValue, text, textIs } from './page.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TEXT = `${PROMPT} lived in a house by the sea. `.repeat(20);
const CONTEXT = 128; // of the page's measurements
const number = (value, digits) =>
  value.toLocaleString('en', { maximumSignificantDigits: digits, useGrouping: false });

/** What the page must show, as Node measures it. */
async function expectedQuality(original) {
  const [model, other] = await Promise.all([load(defaultModel), load(original)]);
  const { perplexity, tokens } = await model.perplexity(TEXT, { context: CONTEXT });
  const { meanKl, medianKl, kl99, sameTop } = await model.compare(other, TEXT, {
    context: CONTEXT,
  });
  await Promise.all([model.dispose(), other.dispose()]);
  assert.ok(meanKl > 0 && sameTop < 1);
  return {
    alone: [number(perplexity, 5), String(tokens)],
    compared: [
      ...[meanKl, medianKl, kl99].map((value) => number(value, 4)),
      `${number(sameTop * 100, 4)} %`,
    ],
  };
}

/** The default model with other weights in one place: in a layer, as far as tables lie at the ends. */
function otherModel(path) {
  const bytes = readFileSync(modelPath);
  const middle = bytes.length / 2;
  bytes.fill(0x2a, middle, middle + 20_000);
  writeFileSync(path, bytes);
}

const folder = mkdtempSync(join(tmpdir(), 'halfbyte-page-'));
const original = join(folder, 'original.gguf');
let expected;
before(async () => {
  otherModel(original);
  expected = await expectedQuality(original);
});
after(() => rmSync(folder, { recursive: true }));

for (const kind of BROWSERS)
  describe(`the page in ${kind.name}`, installed(kind), () => {
    let browser, server, page, errors;
    before(async () => {
      server = await serve();
      browser = await borrow(kind);
      ({ page, errors } = await openPage(browser, server.url));
      await page.click('#tab-measure');
    });
    after(async () => {
      await browser?.close();
      await server?.close();
    });

    const cells = (selector) =>
      page.$$eval(`${selector} td`, (all) => all.map(({ textContent }) => textContent));

    test('measures the model and copies the figures', async () => {
      await page.click('#bench');
      await page.waitForSelector('#copy:not([hidden])');
      const rows = await page.$$eval('#figures tr', (all) =>
        all.map((row) => [...row.cells].map((cell) => cell.textContent)),
      );
      const figures = Object.fromEntries(rows);
      for (const name of ['Prefill', 'Decode']) assert.match(figures[name], /^[\d.]+ tokens\/s$/);
      assert.match(figures['Weights read in decoding'], /^[\d.]+ GB\/s$/);
      assert.match(figures['Products in prefill'], /^[\d.]+ Gop\/s$/);
      assert.equal(figures.Threads, await text(page, '#threads'));
      assert.match(await text(page, '#origin'), new RegExp(kind.agent));
      const copied = await page.evaluate(async () => {
        let given;
        navigator.clipboard.writeText = async (json) => (given = json);
        document.querySelector('#copy').click();
        await new Promise((resolve) => setTimeout(resolve));
        return given;
      });
      const [result] = JSON.parse(copied);
      assert.equal(figures.Decode, `${number(result.decode, 4)} tokens/s`);
      assert.equal(figures.Prefill, `${number(result.prefill, 4)} tokens/s`);
      assert.ok(result.firstTokenSeconds > 0);
      assert.equal(await text(page, '#copy'), 'Copied');
      assert.equal(await text(page, '#bench'), 'Measure');
    });

    test('stops a measurement when told to', async () => {
      await page.click('#types');
      assert.equal(await text(page, '#types'), 'Stop');
      await page.click('#types');
      await textIs(page, '#types-status', /^Stopped\.$/);
      assert.equal(await text(page, '#types'), 'Measure');
    });

    test('plots the speeds of types and threads as they were measured', async () => {
      const measured = await page.evaluate(async () => {
        const { Model } = await import('/web/index.js');
        const results = [];
        const { bench } = Model.prototype;
        Model.prototype.bench = async function (options) {
          const result = await bench.call(this, options);
          results.push(result);
          return result;
        };
        Object.assign(document.querySelector('#plots').dataset, {
          shape: '64,2,4,2,128,300',
          types: 'q4_0 q8_0',
        });
        document.querySelector('#types').click();
        const status = document.querySelector('#types-status');
        await new Promise((resolve) => {
          new MutationObserver(() => /^Random/.test(status.textContent) && resolve()).observe(
            status,
            { childList: true },
          );
        });
        Model.prototype.bench = bench;
        return results.map(({ prefill, decode, threads }) => ({ prefill, decode, threads }));
      });
      const plots = await page.$$eval('#plots svg', (all) =>
        all.map((svg) => {
          const texts = (selector) =>
            [...svg.querySelectorAll(selector)].map(({ textContent }) => textContent);
          return {
            title: texts('.plot-title').join(),
            said: texts('title').join(),
            names: texts('.plot-name'),
            legend: texts('.legend'),
            ticks: texts('.tick:not(.unit)'),
            places: [...svg.querySelectorAll('.grid')].map((line) => +line.getAttribute('x1')),
            unit: texts('.unit').join(),
            figures: texts('.figure'),
            bars: [...svg.querySelectorAll('.bar')].map((bar) => bar.getBoundingClientRect().width),
            width: svg.getBoundingClientRect().width,
            height: svg.getBoundingClientRect().height,
          };
        }),
      );
      const counts = [...new Set(measured.map(({ threads }) => threads))];
      assert.equal(counts[0], 1);
      assert.equal(measured.length, 2 * counts.length);
      assert.deepEqual(
        plots.map(({ title }) => title),
        ['Prefill', 'Decode'],
      );
      for (const [i, field] of ['prefill', 'decode'].entries()) {
        const { said, names, legend, ticks, places, unit, figures, bars, width, height } = plots[i];
        const values = measured.map((result) => result[field]);
        assert.ok(width > 300 && height > 100, `${width} x ${height}`);
        assert.deepEqual(names, ['q4_0', 'q8_0']);
        assert.deepEqual(legend.length, counts.length > 1 ? counts.length : 0);
        assert.equal(unit, 'tokens/s');
        assert.deepEqual(
          figures,
          values.map((value) => number(value, 3)),
        );
        for (const figure of figures) assert.ok(said.includes(`${figure} with `), said);
        // Bars are as long as the axis says.
        assert.ok(ticks.length >= 3 && ticks[0] === '0', ticks.join());
        const scale = (places.at(-1) - places[0]) / Number(ticks.at(-1));
        values.forEach((value, n) => assert.ok(Math.abs(bars[n] - value * scale) < 1.5));
      }
    });

    test('draws the plots anew for another width, with letters as large', async () => {
      await page.setViewport({ width: 390, height: 780 });
      await page.waitForFunction(() => {
        const svg = document.querySelector('#plots svg');
        return Math.abs(svg.viewBox.baseVal.width - svg.clientWidth) < 1 && svg.clientWidth < 390;
      });
      await page.setViewport({ width: 900, height: 780 });
    });

    test('tells how well a model foresees a text', async () => {
      await setValue(page, '#quality-text', 'Too short.');
      await page.click('#perplexity');
      await textIs(page, '#quality-status', /^Give a text/);
      await setValue(page, '#quality-text', TEXT);
      await page.click('#perplexity');
      await textIs(page, '#quality-status', /^The lower/);
      assert.deepEqual(await cells('#quality'), expected.alone);
    });

    test('tells how far a model strays from its original', async () => {
      await (await page.$('#original')).uploadFile(original);
      await textIs(page, '#quality-status', /^Storyteller against original\.gguf\.$/);
      assert.deepEqual(await cells('#quality'), expected.compared);
      assert.equal(await text(page, '#perplexity'), 'Perplexity');
      assert.equal(await page.$eval('#quality-progress', ({ hidden }) => hidden), true);
    });

    test('says nothing on the console', () => assert.deepEqual(errors, []));
  });
