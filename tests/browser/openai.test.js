// The OpenAI interface of a model in a page.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';
import { borrow } from './shared.js';
import { BROWSERS, installed } from './support.js';

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

    test("a model speaks OpenAI's interface, which is fetched with the first call", async () => {
      const result = await page.evaluate(async () => {
        performance.setResourceTimingBufferSize(1000); // the modules of workers count, too
        const fetched = () =>
          performance.getEntriesByType('resource').some(({ name }) => name.includes('/openai/'));
        const { load, defaultModel } = await import('/web/index.js');
        const model = await load(defaultModel);
        const before = fetched();
        const request = { prompt: 'Once upon a time', temperature: 0, max_tokens: 8 };
        const { choices, usage } = await model.openai.completions.create(request);
        const after = fetched();
        let streamed = '';
        const stream = await model.openai.completions.create({ ...request, stream: true });
        for await (const chunk of stream) streamed += chunk.choices[0].text;
        const { data } = await model.openai.embeddings.create({
          input: 'a cat',
          encoding_format: 'base64',
        });
        const { width } = model.info;
        await model.dispose();
        const bytes = atob(data[0].embedding).length;
        return { before, after, text: choices[0].text, usage, streamed, bytes, width };
      });
      assert.equal(result.before, false);
      assert.equal(result.after, true);
      assert.ok(result.text.length > 8);
      assert.equal(result.streamed, result.text);
      assert.equal(result.usage.completion_tokens, 8);
      assert.equal(result.bytes, result.width * 4);
    });
  });
}
