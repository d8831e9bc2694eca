// Quantizing in the example page: the file, its figures, and what can be done with it, as Node has them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { overlap } from '../../examples/chat/overlap.js';
import { METHODS } from '../../examples/chat/ways.js';
import { load, quantize } from '../../web/index.js';
import { sha256 } from '../../web/hash.js';
import { openSource } from '../../web/sources.js';
import { serveFaulty } from '../node/faulty.js';
import { text as calibration } from '../node/quantizing.js';
import { front, openPage, setValue, text, textIs } from './page.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const SHAPE = { shape: '64,2,4,2,128,300', type: 'f16' };
const FILE = '/models/far.gguf';
const TEXT = 'There was a house by the sea, in which nobody lived but a cat. '.repeat(8);
const number = (value, digits = 3) =>
  value.toLocaleString('en', { maximumSignificantDigits: digits, useGrouping: false });

const folder = mkdtempSync(join(tmpdir(), 'halfbyte-page-'));
const path = join(folder, 'random-f16.gguf');
const texts = join(folder, 'texts.txt');
let bytes, calibrated, hash, compared;
before(async () => {
  const reader = await openSource({ kind: 'synthetic', ...SHAPE, seed: 1n }, {});
  bytes = Buffer.alloc(reader.size);
  for (let at = 0, n; (n = await reader.read(() => bytes.subarray(at))) > 0;) at += n;
  writeFileSync(path, bytes);
  writeFileSync(texts, calibration);
  const how = { type: 'q4_0', method: 'gptq', calibration, samples: 4, length: 32 };
  calibrated = await quantize(path, how);
  hash = await sha256(new Uint8Array(await calibrated.blob.arrayBuffer()));
  const [original, result] = await Promise.all([load(path), load(calibrated.blob)]);
  compared = await result.compare(original, TEXT, { context: 128 });
  await Promise.all([original.dispose(), result.dispose()]);
});
after(() => rmSync(folder, { recursive: true }));

test('each method that the page offers can write each type that it offers with it', async () => {
  const shape = { shape: '32,1,1,1,32,300', type: 'f16' };
  for (const [method, { types, text: wants }] of Object.entries(METHODS))
    for (const type of method === 'rtn' || !wants ? types : types.slice(0, 1)) {
      const text = wants && { calibration, samples: 1, length: 16 };
      const result = await quantize(shape, { type, method, ...text });
      assert.ok(result.bytes > 0, `${method} ${type}`);
    }
});

test('a text that is in part the calibration’s is known, wherever that part stands', async () => {
  const seen = ['Something else.', new Blob([calibration])];
  assert.equal(await overlap(TEXT, seen), false);
  assert.equal(await overlap(calibration.slice(900, 1500), seen), true);
  assert.equal(await overlap(TEXT + calibration.slice(-1000), seen), true);
});

for (const kind of BROWSERS)
  describe(`quantizing in the page in ${kind.name}`, installed(kind), () => {
    let browser, server, host, page, errors;
    before(async () => {
      server = await serve();
      host = await serveFaulty(bytes);
      front(host, server.url, [FILE]);
      browser = await borrow(kind);
      ({ page, errors } = await openPage(browser, host.origin));
      await page.click('#tab-quantize');
    });
    after(async () => {
      await browser?.close();
      await server?.close();
      await host?.close();
    });

    const cells = (selector) =>
      page.$$eval(`${selector} td`, (all) => all.map(({ textContent }) => textContent));
    const pick = async (selector, file) => (await page.$(selector)).uploadFile(file);

    /** Drops a file of the page's server on the page; gives what was said while it hung above. */
    const drop = (path, name) =>
      page.evaluate(
        async (path, name) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([await (await fetch(path)).blob()], name));
          const how = { bubbles: true, cancelable: true, dataTransfer };
          document.body.dispatchEvent(new DragEvent('dragover', how));
          const said = document.querySelector('#drop').textContent;
          document.body.dispatchEvent(new DragEvent('drop', how));
          return said;
        },
        path,
        name,
      );

    test('quantizes what is quantized already only when it is told to', async () => {
      assert.equal(await page.$eval('#start', ({ disabled }) => disabled), true);
      await page.click('#from-built-in');
      await textIs(page, '#from-status', /llama, 5\.8 M parameters, 3\.\d MB in Q4_0\.$/);
      assert.equal(await page.$eval('#again', ({ hidden }) => hidden), false);
      await page.click('#start');
      await textIs(page, '#quantize-status', /quantized already/);
    });

    test('takes files that are dropped on it, models and texts', async () => {
      const said = await drop('/examples/models/tales-5.8m-q4_0.gguf', 'dropped.gguf');
      assert.match(said, /GGUF file to quantize it, or a text/);
      await textIs(page, '#from-status', /^dropped\.gguf: llama/);
      await drop('/examples/chat/app.js', 'dropped.txt');
      await textIs(page, '#calibration-name', /^dropped\.txt, 0\.0 MB$/);
      assert.equal(await page.$eval('#method', ({ value }) => value), 'gptq');
      await page.click('#no-calibration-file');
      assert.equal(await text(page, '#calibration-name'), '');
    });

    test('asks for text where the method wants some', async () => {
      await pick('#from-file', path);
      await textIs(page, '#from-status', /^random-f16\.gguf: llama, .* in F16\.$/);
      assert.equal(await page.$eval('#again', ({ hidden }) => hidden), true);
      await page.click('#start');
      await textIs(page, '#quantize-status', /wants text/);
      await page.select('#method', 'hqq');
      assert.equal(await page.$eval('#calibrating', ({ hidden }) => hidden), true);
      assert.equal(await page.$eval('#type', ({ value }) => value), 'q4_1');
      await page.select('#method', 'gptq');
      await pick('#calibration-file', texts);
      await textIs(page, '#calibration-name', /^texts\.txt/);
    });

    test('stops when it is told to', async () => {
      await page.select('#type', 'q4_0');
      await setValue(page, '#calibration-samples', 64);
      await setValue(page, '#calibration-length', 64);
      await page.click('#start');
      await textIs(page, '#steps-text', /^Quantizing/);
      assert.equal(await text(page, '#start'), 'Stop');
      await page.click('#start');
      await textIs(page, '#quantize-status', /^Stopped\.$/);
      assert.equal(await text(page, '#start'), 'Quantize');
      assert.equal(await page.$eval('#outcome', ({ hidden }) => hidden), true);
    });

    test('makes the file that Node makes, shows each step, and offers it under its name', async () => {
      await setValue(page, '#calibration-samples', 4);
      await setValue(page, '#calibration-length', 32);
      const seen = await page.evaluate(async () => {
        const { createObjectURL } = URL;
        let blob;
        URL.createObjectURL = (given) => createObjectURL.call(URL, (blob = given));
        const steps = [];
        const line = document.querySelector('#steps-text');
        const note = () => steps.push(line.textContent);
        new MutationObserver(note).observe(line, { childList: true });
        const done = new Promise((resolve) => {
          const watch = () => document.querySelector('#outcome').hidden || resolve();
          const outcome = document.querySelector('#outcome');
          new MutationObserver(watch).observe(outcome, { attributes: true });
        });
        document.querySelector('#start').click();
        await done;
        const { sha256 } = await import('/web/hash.js');
        const { href, download } = document.querySelector('#save');
        const hash = await sha256(new Uint8Array(await blob.arrayBuffer()));
        return { steps, hash, href, download };
      });
      assert.equal(seen.hash, hash);
      assert.match(seen.href, /^blob:/);
      assert.equal(seen.download, 'random-q4_0.gguf');
      assert.ok(
        seen.steps.some((step) => /^Quantizing: .* MB of .* MB, blk\.0\..* → Q4_0/.test(step)),
        seen.steps.join('; '),
      );
      assert.equal(await page.$eval('#steps', ({ hidden }) => hidden), true);
    });

    test('tells sizes, bits and errors as they are', async () => {
      const [before, now, bits, method] = await cells('#outcome-rows');
      const { bytes: after, bitsPerWeight, tensors } = calibrated;
      assert.deepEqual(
        [before, now, bits, method],
        [
          `${(bytes.length / 1e6).toFixed(1)} MB`,
          `${(after / 1e6).toFixed(1)} MB, ${number((100 * after) / bytes.length)} % of it`,
          number(bitsPerWeight),
          'gptq, on 4 × 32 tokens of text',
        ],
      );
      const quantized = tensors.filter(({ from, to }) => from !== to);
      const errors = new Map(
        quantized.map(({ name, error }) => {
          const percent = 100 * Math.sqrt(error);
          return [`${name}: ${number(percent)} % of its root mean square`, percent];
        }),
      );
      const plot = await page.$eval('#error-plot svg', (svg) => {
        const texts = (selector) =>
          [...svg.querySelectorAll(selector)].map(({ textContent }) => textContent);
        return {
          names: texts('.plot-name'),
          ticks: texts('.tick:not(.unit)'),
          lines: [...svg.querySelectorAll('.grid')].map((line) => +line.getAttribute('x1')),
          unit: texts('.unit').join(),
          dots: texts('.dot title'),
          places: [...svg.querySelectorAll('.dot')].map((dot) => +dot.getAttribute('cx')),
        };
      });
      assert.equal(plot.unit, '% of its root mean square');
      assert.deepEqual([...plot.dots].sort(), [...errors.keys()].sort());
      assert.ok(plot.names.includes('attn_q') && plot.names.includes('ffn_down'));
      const { ticks, lines } = plot;
      const scale = (lines.at(-1) - lines[0]) / Number(ticks.at(-1));
      plot.dots.forEach((dot, i) => {
        assert.ok(Math.abs(plot.places[i] - lines[0] - errors.get(dot) * scale) < 1, dot);
      });
      const rows = await page.$$eval('#tensors th', (all) => all.length);
      assert.equal(rows, quantized.length);
      assert.equal(await page.$eval('#others-none', ({ hidden }) => hidden), false);
    });

    test('compares the result with its original', async () => {
      await setValue(page, '#outcome-text', TEXT);
      await page.click('#weigh');
      await textIs(page, '#outcome-status', /^random-q4_0\.gguf against random-f16\.gguf/);
      const { perplexity, referencePerplexity, meanKl, sameTop } = compared;
      const [original, result, kl, top] = await cells('#outcome-quality');
      assert.deepEqual(
        [original, result.split(' ')[0], kl, top],
        [
          number(referencePerplexity, 5),
          number(perplexity, 5),
          number(meanKl, 4),
          `${number(sameTop * 100, 4)} %`,
        ],
      );
    });

    test('chats with the result', async () => {
      await page.click('#chat-with');
      await textIs(page, '#status', /^random-q4_0\.gguf is ready\.$/);
      assert.equal(await page.$eval('#chat', ({ hidden }) => hidden), false);
      assert.equal(await text(page, '#model-name'), 'random-q4_0.gguf');
      await page.click('#tab-quantize');
    });

    test('names the tensors that became something else, and why', async () => {
      await page.select('#method', 'rtn');
      await page.select('#type', 'q4_k');
      await page.click('#start');
      await textIs(page, '#quantize-status', /^random-q4_k\.gguf is ready/);
      const [other] = await page.$$eval('#others li', (all) =>
        all.map(({ textContent }) => textContent),
      );
      assert.match(
        other,
        /^\S+ and \d+ more: became \S+: rows of 64 values do not divide into Q4_K/,
      );
    });

    test('fetches a model from an address, and offers it again', async () => {
      await setValue(page, '#from', host.origin + FILE);
      await page.click('#from-form button');
      await textIs(page, '#from-status', /^far\.gguf: llama, .* in F16\.$/);
      await page.select('#method', 'nf4');
      await page.click('#start');
      await textIs(page, '#quantize-status', /^far-nf4\.gguf is ready/);
      host.calm();
      await pick('#from-file', path);
      await textIs(page, '#from-status', /^random-f16/);
      await page.click('#tab-quantize');
      await page.waitForSelector('#from-kept:not([hidden]) option + option');
      const [, kept] = await page.$$eval('#from-kept option', (all) =>
        all.map(({ value, textContent }) => ({ value, textContent })),
      );
      assert.equal(kept.textContent, `far.gguf, ${(bytes.length / 1e6).toFixed(1)} MB`);
      await page.select('#from-kept', kept.value);
      await textIs(page, '#from-status', /^far\.gguf: llama, .* in F16\.$/);
      assert.equal(host.requests(), 0);
    });

    test('says what is wrong with a file', async () => {
      await pick('#from-file', texts);
      await textIs(page, '#from-status', /^texts\.txt: .*GGUF/);
      assert.equal(await page.$eval('#start', ({ disabled }) => disabled), true);
    });

    test('has room on a phone', async () => {
      await page.setViewport({ width: 390, height: 780 });
      await page.waitForFunction(() => {
        const svg = document.querySelector('#error-plot svg');
        return Math.abs(svg.viewBox.baseVal.width - svg.clientWidth) < 1 && svg.clientWidth < 390;
      });
      await page.click('#quantize details summary');
      const [wide, panel] = await page.evaluate(() => [
        document.scrollingElement.scrollWidth,
        document.querySelector('#quantize').scrollWidth,
      ]);
      assert.ok(wide <= 390 && panel <= 390, `${wide} ${panel}`);
    });

    test('says nothing on the console', () => assert.deepEqual(errors, []));
  });
