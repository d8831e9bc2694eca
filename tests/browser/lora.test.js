// LoRA adapters in browsers: from files of the page and from servers, with the bits of Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { defaultModel, load } from '../../web/index.js';
import { makeAdapter } from '../node/adapter.js';
import { serveFaulty } from '../node/faulty.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

/** Lets the page and the adapter have one origin. @returns {boolean} whether it did */
function forward(url, response) {
  if (url.pathname === '/model.gguf') return false;
  void fetch(url).then(async (answer) => {
    const headers = Object.fromEntries(answer.headers);
    delete headers['content-encoding'];
    delete headers['content-length'];
    response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()));
  });
  return true;
}

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000];

for (const browser of BROWSERS)
  describe(`adapters in ${browser.name}`, installed(browser), () => {
    const bytes = makeAdapter();
    let server, files, running, page;
    before(async () => {
      server = await serve({ port: 0 });
      files = await serveFaulty(bytes);
      files.elsewhere = (request, response) => forward(new URL(request.url, server.url), response);
      running = await borrow(browser);
      page = await running.newPage();
      await page.goto(files.origin);
    });
    after(async () => {
      await running?.close();
      await files?.close();
      await server?.close();
    });

    test('are added from a File and from a server, which is asked once', async () => {
      const model = await load(defaultModel, { lora: [bytes, { source: bytes, scale: -0.5 }] });
      const expected = Array.from((await model.logits(TOKENS)).slice(-20));
      await model.dispose();
      const loadThere = () =>
        page.evaluate(
          async (url, tokens) => {
            const { defaultModel, load } = await import('/web/index.js');
            const file = new File([await (await fetch(url)).blob()], 'mine.gguf');
            const lora = [file, { source: url, scale: -0.5 }];
            const model = await load(defaultModel, { lora });
            const logits = Array.from((await model.logits(tokens)).slice(-20));
            const { info } = model;
            await model.dispose();
            return { logits, names: info.lora.map(({ name }) => name), notKept: info.notKept };
          },
          files.url,
          TOKENS,
        );
      const { logits, names, notKept } = await loadThere();
      assert.deepEqual(logits, expected);
      assert.deepEqual(names, ['mine.gguf', files.url]);
      assert.equal(notKept, undefined);
      files.calm();
      assert.deepEqual((await loadThere()).logits, expected);
      assert.equal(files.requests(), 1); // the page's own
    });

    test('that do not fit are refused with their name', async () => {
      const error = await page.evaluate(async () => {
        const { defaultModel, load } = await import('/web/index.js');
        const lora = new File([new Uint8Array(100)], 'zeros.gguf');
        return load(defaultModel, { lora }).catch(({ code, message }) => ({ code, message }));
      });
      assert.equal(error.code, 'FORMAT');
      assert.match(error.message, /^zeros\.gguf: /);
    });
  });
