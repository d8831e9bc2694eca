// The page of a report, in browsers: everything is drawn, for any data, and texts stay texts.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { modelPath } from '../node/support.js';
import { halfbyte, openPrinted } from './printed.js';
import { BROWSERS, installed } from './support.js';

const hostile = '</script><img src=x onerror="document.title=1"> there was a king. ';

/** A second model: the first, with other weights in its last layer, before the table of 590 kB. */
function otherModel(folder) {
  const bytes = readFileSync(modelPath);
  bytes.fill(0x2a, bytes.length - 640_000, bytes.length - 620_000);
  const path = join(folder, '<i>other.gguf');
  writeFileSync(path, bytes);
  return path;
}

function writeReport(folder) {
  const text = join(folder, 'text.txt');
  const report = join(folder, 'report');
  writeFileSync(text, hostile.repeat(8));
  for (const model of [modelPath, otherModel(folder)])
    halfbyte(['compare', modelPath, model, '-f', text, '-c', '32', '--report', report]);
  return 'report/index.html';
}

for (const kind of BROWSERS)
  describe(`a report in ${kind.name}`, installed(kind), () => {
    const open = openPrinted(kind, writeReport, '#layers svg');

    test('every part is drawn', async () => {
      const { page, errors } = await open(1000);
      const count = (selector) => page.$$eval(selector, (found) => found.length);
      assert.equal(await count('#pareto circle.dot'), 1, 'the model beside itself cost nothing');
      assert.equal(await count('#runs tr'), 4);
      assert.equal(await count('#layers circle'), 1, 'only the last layer differs');
      assert.equal(await count('#tensors td[title]'), 43);
      assert.ok((await count('#weights rect')) > 20);
      assert.ok((await count('#input rect')) > 20);
      assert.equal(await count('#samples blockquote'), 6);
      assert.deepEqual(errors, []);
    });

    test('a choice of run and quality changes what is drawn', async () => {
      const { page, errors } = await open(1000);
      await page.select('#run', '0');
      assert.match(await page.$eval('#layers', (box) => box.textContent), /layer/);
      await page.select('#quality', '3');
      assert.match(await page.$eval('#pareto', (box) => box.textContent), /other likeliest token/);
      await page.select('#matrix', '0');
      assert.match(await page.$eval('#input', (box) => box.textContent), /was not looked at/);
      assert.deepEqual(errors, []);
    });

    test('a phone need not scroll sideways, but in the tables', async () => {
      const { page } = await open(390);
      const over = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
      assert.equal(await page.evaluate(over), 0);
    });

    test('texts and names stay texts', async () => {
      const { page } = await open(1000);
      assert.equal(await page.$('img'), null);
      assert.equal(await page.$('main i'), null);
      assert.equal(await page.title(), 'What quantizing cost');
      assert.match(await page.$eval('#samples', (box) => box.textContent), /<\/script>/);
      assert.match(await page.$eval('#runs', (box) => box.textContent), /<i>other/);
    });
  });
