// The example page in real browsers, with threads and without.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { PROMPT, modelPath, native, nativeProgram, needs } from '../node/support.js';
import { modelWith } from '../node/template-model.js';
import { idle, openPage, text, textIs, write } from './page.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000, 8, 15, 2000, 42, 7, 7, 7, 300, 301, 302, 5, 9];

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

const shown = (page) =>
  page.$$eval('[role=tabpanel]', (all) => all.filter((panel) => !panel.hidden).map(({ id }) => id));

for (const browserKind of BROWSERS) {
  for (const isolated of [true, false]) {
    const title = `${browserKind.name}, ${isolated ? 'cross-origin isolated' : 'not isolated'}`;
    describe(title, installed(browserKind), () => {
      let browser, server, page, errors, messages;
      before(async () => {
        server = await serve({ isolated });
        browser = await borrow(browserKind);
        ({ page, errors, messages } = await openPage(browser, server.url));
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
        assert.equal(/not cross-origin isolated/.test(why), !isolated);
        assert.equal(/Cross-Origin-Embedder-Policy: require-corp/.test(why), !isolated);
      });

      test('tells a story and says how fast', async () => {
        await write(page, PROMPT, 30);
        await page.click('#send');
        await textIs(page, '#status', /tokens at/);
        assert.equal(await text(page, '#messages .user .text'), PROMPT);
        assert.ok((await text(page, '#messages .assistant .text')).length > 20);
        assert.match(await text(page, '#speed'), /^[\d.]+ tokens\/s$/);
      });

      test('writes an answer anew when asked to, and leaves what stands before it', async () => {
        await page.$eval('#messages article', (first) => (first.dataset.mark = 'mine'));
        const busy = await page.evaluate(() => {
          document.querySelector('#messages .again').click();
          return document.querySelector('#messages').getAttribute('aria-busy');
        });
        assert.equal(busy, 'true');
        await idle(page);
        assert.deepEqual(
          await page.$$eval('#messages article', (all) =>
            all.map(({ dataset }) => dataset.mark ?? ''),
          ),
          ['mine', ''], // a reader of screens reads out what is new
        );
      });

      test('copies a message', async () => {
        const copied = await page.evaluate(async () => {
          let given;
          navigator.clipboard.writeText = async (value) => (given = value);
          document.querySelector('#messages .assistant .copy').click();
          await new Promise((resolve) => setTimeout(resolve));
          return given;
        });
        assert.equal(copied.trimStart(), await text(page, '#messages .assistant .text'));
        assert.equal(await text(page, '#messages .assistant .copy'), 'Copied');
        assert.equal(await text(page, '#status'), 'Copied.');
      });

      test('stops when told to', async () => {
        await write(page, PROMPT, 4000);
        await page.click('#send');
        await page.waitForFunction(
          () => document.querySelector('#messages .assistant .text')?.textContent.length > 80,
        );
        await page.click('#stop').catch(() => {}); // unless the story has just ended
        await idle(page);
        assert.equal(await page.$eval('#send', (element) => element.disabled), false);
      });

      test('takes a message back into the box to be changed', async () => {
        await (await page.waitForSelector('#messages .edit')).click();
        assert.equal(await page.$eval('#input', (element) => element.value), PROMPT);
        assert.equal(await page.$$eval('#messages article', (all) => all.length), 0);
      });

      test('moves between its parts by keyboard', async () => {
        await page.focus('#tab-chat');
        for (const [key, part] of [
          ['ArrowRight', 'model'],
          ['ArrowRight', 'quantize'],
          ['ArrowRight', 'measure'],
          ['ArrowRight', 'chat'],
          ['End', 'measure'],
          ['Home', 'chat'],
        ]) {
          await page.keyboard.press(key);
          assert.deepEqual(await shown(page), [part]);
        }
      });

      test('is reached by the tab key in the order of its parts, always visibly', async () => {
        const stops = [];
        for (let i = 0; i < 7; i++) {
          await page.keyboard.press('Tab');
          stops.push(
            await page.evaluate(() => {
              const { id, localName, className } = document.activeElement;
              const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
              const visible = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
              return `${id || className || localName}${visible ? '' : ' (not visible)'}`;
            }),
          );
        }
        const order = ['messages', 'quiet hint', 'quiet hint', 'input', 'send', 'fresh', 'summary'];
        assert.deepEqual(stops, order);
      });

      test('hands the focus on when a button goes away', async () => {
        const focused = () => page.evaluate(() => document.activeElement.id);
        const send = async (field) => {
          await page.click('#fresh');
          await page.$eval('#status', (status) => (status.textContent = ''));
          await write(page, PROMPT, 5);
          await page.focus(field);
          await page.keyboard.press('Enter');
          await textIs(page, '#status', /5 tokens at/);
          await idle(page);
        };
        await send('#input');
        assert.equal(await focused(), 'input');
        await send('#send');
        assert.equal(await focused(), 'messages');
        await page.click('#messages .again');
        assert.equal(await focused(), 'messages');
        await idle(page);
        await page.click('#fresh');
      });

      test('has a name for whatever can be used', async () => {
        const usable = 'button, input, select, textarea, summary, progress, [role]';
        const nameless = await page.evaluate(
          (usable) =>
            [...document.querySelectorAll(usable)]
              .filter((element) => {
                const named = (element.getAttribute('aria-labelledby') ?? '')
                  .split(' ')
                  .map((id) => document.getElementById(id)?.textContent ?? '');
                const labels = [...(element.labels ?? [])].map(({ textContent }) => textContent);
                const filled = ['select', 'textarea'].includes(element.localName);
                const own = filled ? '' : element.textContent;
                const names = [element.ariaLabel ?? '', ...named, ...labels, own];
                return element.role !== 'status' && !names.some((name) => name.trim());
              })
              .map(({ id, outerHTML }) => id || outerHTML),
          usable,
        );
        assert.deepEqual(nameless, []);
      });

      test('leaves room for the messages on a phone with its settings open', async () => {
        await page.setViewport({ width: 390, height: 780 });
        await page.click('#settings summary');
        const found = await page.evaluate(() => ({
          messages: document.querySelector('#messages').clientHeight,
          fields: document.querySelector('.fields').clientHeight,
          wide: document.scrollingElement.scrollWidth,
          rolls: document.querySelector('#chat').scrollHeight,
          room: document.querySelector('#chat').clientHeight,
        }));
        assert.ok(found.messages > 250 && found.fields > 100, JSON.stringify(found));
        assert.ok(found.wide <= 390 && found.rolls <= found.room, JSON.stringify(found));
        await page.click('#settings summary');
        await page.setViewport({ width: 900, height: 780 });
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
        );
        await page.click('#tab-chat');
        for (const [turn, message] of ['Tell me of the *old* king.', 'And then?'].entries()) {
          await write(page, message, 8);
          await page.click('#send');
          await page.waitForFunction(
            (count) => document.querySelectorAll('#messages article').length === count,
            {},
            2 * (turn + 1),
          );
          await idle(page);
        }
        assert.deepEqual(
          await page.$$eval('#messages article', (all) => all.map(({ className }) => className)),
          ['user', 'assistant', 'user', 'assistant'],
        );
      });

      test('says on the console once how a page gets threads, and nothing else', () => {
        assert.deepEqual(errors, []);
        assert.equal(messages.length, isolated ? 0 : 1, messages.join());
        if (!isolated)
          assert.match(
            messages[0],
            /^halfbyte uses one thread only: .*isolated.*Cross-Origin-Opener-Policy/,
          );
      });

      test('works without its server after the first visit', async () => {
        await server.close();
        await page.reload({ waitUntil: 'domcontentloaded' });
        await page.waitForSelector('#send:not(:disabled)');
        await write(page, PROMPT, 10);
        await page.click('#send');
        await textIs(page, '#status', /10 tokens at/);
      });
    });
  }
}
