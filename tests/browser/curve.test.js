// The page of a training run, in browsers: everything is drawn, on any width, and names stay texts.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { halfbyte, openPrinted } from './printed.js';
import { BROWSERS, installed } from './support.js';

function writeRun(folder) {
  const model = join(folder, '<img src=x onerror="document.title=1">.gguf');
  const text = join(folder, 'text.txt');
  const size = ['--steps', '30', '--save-every', '10', '--sequences', '1', '--length', '16'];
  halfbyte(['synth', '-o', model, '--shape', '32,1,2,1,64,300', '--type', 'f32']);
  writeFileSync(text, 'There was a king, and a cat. '.repeat(40));
  const run = ['train', '--init', model, '--data', text, '--validation', text, ...size];
  halfbyte([...run, '--out', join(folder, 'run')]);
  return 'run/training.html';
}

for (const kind of BROWSERS)
  describe(`the page of a run in ${kind.name}`, installed(kind), () => {
    const open = openPrinted(kind, writeRun, '#norm svg');

    test('every part is drawn, over steps and over time', async () => {
      const { page, errors } = await open(1000);
      const points = (selector) =>
        page.$eval(selector, (line) => line.getAttribute('points').split(' ').length);
      for (const axis of ['0', '1', '2']) {
        await page.select('#axis', axis);
        assert.equal(await points('#loss .mean'), 30);
        assert.equal(await points('#loss .validation'), 4);
        assert.equal(await points('#rate .mean'), 30);
        assert.equal(await points('#norm .mean'), 30);
      }
      assert.equal((await page.$$('#measured tr')).length, 5);
      assert.match(
        await page.$eval('#loss-note', (note) => note.textContent),
        /^step 30: loss \d+\.\d/,
      );
      assert.deepEqual(errors, []);
    });

    test('a phone need not scroll sideways, and names stay texts', async () => {
      const { page } = await open(390);
      const over = () =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth;
      assert.equal(await page.evaluate(over), 0);
      assert.equal(await page.$('img'), null);
      assert.match(
        await page.$eval('h1', (box) => box.textContent),
        /<img src=x onerror=.*training/,
      );
      assert.equal(await page.title(), 'How training went');
    });
  });
