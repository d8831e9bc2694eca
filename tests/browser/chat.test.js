// Conversations in a page without a bundler, under the policy of examples/chat/serve.js: the
// interpreter of templates is found where npm puts it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

const TEMPLATE = '{% for m in messages %}{{ m.role + ": " + m.content + eos_token }}{% endfor %}';

for (const browser of BROWSERS) {
  describe(`in ${browser.name}`, installed(browser), () => {
    let server, program, page;
    before(async () => {
      server = await serve({ port: 0 });
      program = await borrow(browser);
      page = await program.newPage();
      await page.goto(`${server.url}`);
    });
    after(async () => {
      await program?.close();
      await server?.close();
    });

    test('a template is run in its worker, and the limit of time ends it', async () => {
      const result = await page.evaluate(async (chatTemplate) => {
        const { load, defaultModel } = await import('/web/index.js');
        const model = await load(defaultModel);
        const messages = [{ role: 'user', content: 'A </s> b' }];
        const tokens = await model.chatTokens(messages, { chatTemplate });
        const endless =
          '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}';
        const failure = await model
          .chatTokens(messages, { chatTemplate: endless })
          .catch((error) => `${error.code}: ${error.message}`);
        let text = '';
        const options = { chatTemplate, maxTokens: 4, temperature: 0 };
        for await (const part of model.chat(messages, options)) text += part.text;
        await model.dispose();
        return { tokens, failure, text };
      }, TEMPLATE);
      assert.equal(result.tokens.filter((token) => token === 2).length, 1);
      assert.match(result.failure, /^TEMPLATE: .* more than (5 s|20000000 steps)$/);
      assert.ok(result.text.length > 0);
    });

    test('a conversation is put away and taken up in a model loaded anew', async () => {
      const result = await page.evaluate(async () => {
        const { load, defaultModel } = await import('/web/index.js');
        const prompt = 'Once upon a time there was a little girl who';
        const run = async (model) => {
          let text = '';
          for await (const part of model.stream(prompt, { maxTokens: 8, temperature: 0 })) {
            text += part.text;
            if (part.finishReason) return { text, cached: part.usage.cachedTokens };
          }
        };
        const first = await load(defaultModel);
        const read = await run(first);
        const state = await first.saveState();
        await first.dispose();
        const second = await load(defaultModel);
        const held = await second.restoreState(state);
        const again = await run(second);
        await second.dispose();
        return { read, again, held };
      });
      assert.equal(result.read.cached, 0);
      assert.ok(result.again.cached > 0 && result.held > result.again.cached);
      assert.equal(result.again.text, result.read.text);
    });
  });
}
