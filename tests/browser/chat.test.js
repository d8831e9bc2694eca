// A conversation in a page without a bundler, under the policy of examples/chat/serve.js: the
// interpreter of templates is found where npm puts it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { BROWSERS, installed, start } from './support.js';

const TEMPLATE = '{% for m in messages %}{{ m.role + ": " + m.content + eos_token }}{% endfor %}';

for (const browser of BROWSERS) {
  describe(`in ${browser.name}`, installed(browser), () => {
    let server, program, page;
    before(async () => {
      server = await serve({ port: 0 });
      program = await start(browser);
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
        for await (const part of model.chat(messages, { chatTemplate, maxTokens: 4 }))
          text += part.text;
        await model.dispose();
        return { tokens, failure, text };
      }, TEMPLATE);
      assert.equal(result.tokens.filter((token) => token === 2).length, 1);
      assert.match(result.failure, /^TEMPLATE: .* more than (5 s|20000000 steps)$/);
      assert.ok(result.text.length > 0);
    });
  });
}
