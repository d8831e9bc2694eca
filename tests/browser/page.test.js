// The example page in real browsers, with threads and without.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { PROMPT, modelPath, native, nativeProgram, needs } from '../node/support.js';
import { modelWith } from '../node/template-model.js';
import { BROWSERS, installed, start } from './support.js';

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000, 8, 15, 2000, 42, 7, 7, 7, 300, 301, 302, 5, 9];
const LIMIT = 60_000;

/** The default model with a chat template, as a file. */
const folder = mkdtempSync(join(tmpdir(), 'halfbyte-page-'));
const templated = { path: join(folder, 'templated.gguf') };
before(() =>
  writeFileSync(
    templated.path,
    modelWith({
      'tokenizer.chat_template':
        '{% for m in messages %}{{ m.role + ": " + m.content + eos_token }}{% endfor %}assistant:',
    }),
  ),
);
after(() => rmSync(folder, { recursive: true }));

/** Opens the page and waits until the model is there. */
async function openPage(browser, server) {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await page.goto(`${server.url}/examples/chat/`);
  await page.waitForSelector('#send:not(:disabled)', { timeout: LIMIT });
  return { page, errors };
}

/** Puts a message into the box, to be answered with so many tokens. */
const write = (page, message, length) =>
  page.evaluate(
    (value, tokens) => {
      document.querySelector('#input').value = value;
      document.querySelector('[name=maxTokens]').value = tokens;
    },
    message,
    length,
  );

const idle = (page) =>
  page.waitForFunction(
    () =>
      document.querySelector('#messages').getAttribute('aria-busy') === 'false' &&
      !document.querySelector('#send').disabled,
    { timeout: LIMIT },
  );

const shown = (page) =>
  page.$$eval('[role=tabpanel]', (all) => all.filter((panel) => !panel.hidden).map(({ id }) => id));

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
        assert.match(await text(page, '#status'), /ready/);
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
        await write(page, PROMPT, 30);
        await page.click('#send');
        await page.waitForFunction(
          () => /tokens at/.test(document.querySelector('#status').textContent),
          { timeout: LIMIT },
        );
        assert.equal(await text(page, '#messages .user .text'), PROMPT);
        assert.ok((await text(page, '#messages .assistant .text')).length > 20);
        assert.match(await text(page, '#speed'), /^[\d.]+ tokens\/s$/);
      });

      test('writes the same message again when asked to', async () => {
        await page.click('#messages .again');
        await idle(page);
        assert.equal(await page.$$eval('#messages article', (all) => all.length), 2);
      });

      test('stops when told to', async () => {
        await write(page, PROMPT, 4000);
        await page.click('#send');
        await page.waitForFunction(
          () => document.querySelector('#messages .assistant .text')?.textContent.length > 80,
          { timeout: LIMIT },
        );
        await page.click('#stop').catch(() => {}); // unless the story has just ended
        await idle(page);
        assert.equal(await page.$eval('#send', (element) => element.disabled), false);
      });

      test('takes a message back into the box to be changed', async () => {
        await page.click('#messages .edit');
        assert.equal(await page.$eval('#input', (element) => element.value), PROMPT);
        assert.equal(await page.$$eval('#messages article', (all) => all.length), 0);
      });

      test('moves between its parts by keyboard', async () => {
        await page.focus('#tab-chat');
        await page.keyboard.press('ArrowRight');
        assert.deepEqual(await shown(page), ['model']);
        await page.keyboard.press('ArrowRight');
        assert.deepEqual(await shown(page), ['measure']);
      });

      test('measures the model and copies the figures', async () => {
        await page.click('#tab-measure');
        await page.click('#bench');
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
        assert.equal(await text(page, '#bench'), 'Measure');
      });

      test('shows markdown without letting any HTML in', async () => {
        const found = await page.evaluate(async () => {
          const { render } = await import('/examples/chat/markdown.js');
          const shown = document.createElement('div');
          shown.append(
            ...render(
              '# A\n<img src=x onerror=alert(1)> **b** `<c>` [d](javascript:alert(1))\nj\n\n- e\n- f\n\n' +
                '```html\n<script>g</script>\n```\n> h\n3. i',
            ),
            ...render('>'.repeat(50_000)),
            ...render('`*['.repeat(20_000)),
          );
          const names = [...shown.querySelectorAll('*')].map(({ localName }) => localName);
          return {
            names: [...new Set(names)].sort(),
            text: shown.textContent,
            html: shown.innerHTML,
          };
        });
        const expected = 'blockquote br code h3 li ol p pre strong ul'.split(' ');
        assert.deepEqual(
          found.names.filter((name) => name !== 'em'),
          expected,
        );
        assert.ok(found.text.includes('<img src=x onerror=alert(1)>'));
        assert.ok(found.html.includes('&lt;script&gt;g&lt;/script&gt;'));
        assert.ok(found.html.includes('<ol start="3">'));
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

      test('holds a conversation with a model that has a template', async () => {
        await (await page.$('#file')).uploadFile(templated.path);
        await page.waitForFunction(
          () => document.querySelector('#input').placeholder === 'Write a message',
          { timeout: LIMIT },
        );
        await page.click('#tab-chat');
        for (const [turn, message] of ['Tell me of the *old* king.', 'And then?'].entries()) {
          await write(page, message, 8);
          await page.click('#send');
          await page.waitForFunction(
            (count) => document.querySelectorAll('#messages article').length === count,
            { timeout: LIMIT },
            2 * (turn + 1),
          );
          await idle(page);
        }
        assert.deepEqual(
          await page.$$eval('#messages article', (all) => all.map(({ className }) => className)),
          ['user', 'assistant', 'user', 'assistant'],
        );
      });

      test('shows the plan of an address before it loads it', async () => {
        await page.click('#tab-model');
        await page.$eval(
          '#source',
          (element) => (element.value = '/examples/models/tales-5.8m-q4_0.gguf'),
        );
        await page.click('#show-plan');
        await page.waitForSelector('#plan:not([hidden])', { timeout: LIMIT });
        assert.match(await text(page, '#plan-rows'), /5\.8 M parameters, llama/);
        assert.match(await text(page, '#plan-verdict'), /^It fits here/);
        await page.click('#fetch');
        await page.waitForFunction(
          () => /ready/.test(document.querySelector('#source-status').textContent),
          { timeout: LIMIT },
        );
      });

      test('says what suits this device', async () => {
        await page.click('#advise');
        await page.waitForFunction(
          () => /tokens a second|None of/.test(document.querySelector('#advice').textContent),
          { timeout: LIMIT },
        );
      });

      test('tells how well a model foresees a text', async () => {
        await page.click('#tab-measure');
        await page.$eval(
          '#quality-text',
          (element, value) => (element.value = value),
          `${PROMPT} lived in a house by the sea. `.repeat(30),
        );
        await page.click('#perplexity');
        await page.waitForFunction(() => document.querySelector('#quality td'), { timeout: LIMIT });
        assert.match(await text(page, '#quality td'), /^[\d.]+$/);
      });

      test('takes a file that is picked, and says what is wrong with it', async () => {
        const input = await page.$('#file');
        await input.uploadFile(modelPath);
        await page.waitForFunction(
          () =>
            document.querySelector('#model-name').textContent.endsWith('.gguf') &&
            !document.querySelector('#send').disabled,
          { timeout: LIMIT },
        );
        await input.uploadFile(new URL('../../package.json', import.meta.url).pathname);
        await page.waitForSelector('#status.failed', { timeout: LIMIT });
        assert.match(await text(page, '#status'), /GGUF/);
      });

      test('says nothing on the console', () => assert.deepEqual(errors, []));

      test('works without its server after the first visit', async () => {
        await server.close();
        await page.reload({ waitUntil: 'domcontentloaded' });
        await page.waitForSelector('#send:not(:disabled)', { timeout: LIMIT });
        await write(page, PROMPT, 10);
        await page.click('#send');
        await page.waitForFunction(
          () => /10 tokens at/.test(document.querySelector('#status').textContent),
          { timeout: LIMIT },
        );
      });
    });
  }
}
