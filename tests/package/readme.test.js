// The README's snippets, as they stand, in applications that installed the packed tarball.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BROWSERS, installed as there, start } from '../browser/support.js';
import { serve } from './server.js';
import { installPackage, root } from './support.js';

const MODEL = 'examples/models/tales-5.8m-q4_0.gguf';
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The blocks of a language, and the lines on which they begin. */
const snippets = (language) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => ({
    line: readme.slice(0, match.index).split('\n').length + 1,
    code: match[1],
  }));

let installed;
before(() => {
  installed = installPackage();
  for (const name of ['ai', '@ai-sdk', 'openai']) installed.link(name);
  cpSync(join(root, MODEL), join(installed.folder, 'model.gguf'));
  const widen = ['quantize', 'model.gguf', 'model-f16.gguf', '--type', 'f16', '--allow-requantize'];
  return installed.run('npx', ['halfbyte', ...widen], installed.folder);
});
after(() => installed?.remove());

/** A folder with a snippet in it, and the models that it may name. */
function place(name, file, code) {
  const folder = join(installed.folder, name);
  mkdirSync(folder);
  writeFileSync(join(folder, file), code);
  for (const model of ['model.gguf', 'model-f16.gguf'])
    cpSync(join(installed.folder, model), join(folder, model));
  return folder;
}

test('the README has a snippet for pages and one for Node', () => {
  assert.ok(snippets('html').length > 0 && snippets('js').length > 0);
});

for (const { line, code } of snippets('js'))
  test(`the snippet on line ${line} runs in Node`, async () => {
    const folder = place(`node-${line}`, 'snippet.mjs', code);
    assert.notEqual((await installed.run('node', ['snippet.mjs'], folder)).trim(), '');
  });

for (const kind of BROWSERS)
  for (const { line, code } of snippets('html'))
    test(`the snippet on line ${line} runs in a page of ${kind.name}`, there(kind), async () => {
      const folder = place(`page-${kind.name}-${line}`, 'index.html', code);
      cpSync(join(installed.folder, 'node_modules/halfbyte'), join(folder, 'node_modules/halfbyte'), { recursive: true });
      const server = await serve(folder);
      const browser = await start(kind);
      try {
        const page = await browser.newPage();
        const failed = new Promise((resolve, reject) => page.on('pageerror', reject));
        failed.catch(() => {}); // told below, if it comes in time
        await page.goto(server.url);
        const written = () => document.body.innerText.length > 40;
        await Promise.race([page.waitForFunction(written, { timeout: 60_000 }), failed]);
      } finally {
        await browser.close();
        server.close();
      }
    });
