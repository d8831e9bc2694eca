// Pages built from the packed tarball, by bundlers and without, in real browsers: each loads the
// default model and tells the story that Node tells, to the letter.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { browsers, chromiumMissing, tellInExtension } from './browsers.js';
import { ISOLATION, POLICY, serve } from './server.js';
import { installPackage } from './support.js';

let installed, story;

before(async () => {
  installed = installPackage();
  story = await installed.story();
  await Promise.all(Object.values(pages).map(async (page) => (page.folder = await page.make())));
});
after(() => installed?.remove());

/** How each page is made; resolves to the folder that is served. */
const pages = {
  'built by Vite': {
    async make() {
      const place = installed.app('vite');
      await installed.run('vite', ['build', '--logLevel', 'warn'], place);
      return join(place, 'dist');
    },
  },
  'built by webpack': {
    async make() {
      const place = installed.app('webpack');
      await installed.run('webpack', ['build'], place);
      cpSync(join(place, 'index.html'), join(place, 'dist/index.html'));
      return join(place, 'dist');
    },
  },
  'built by esbuild': {
    async make() {
      const place = installed.app('esbuild');
      installed.link('esbuild');
      await installed.run('node', ['build.js'], place);
      return join(place, 'dist');
    },
  },
  'of static files': { make: async () => installed.app('static', { own: true }) },
  'whose own worker uses it': { make: async () => installed.app('worker', { own: true }) },
};

for (const { name, options, isolates, start } of browsers) {
  describe(name, options, () => {
    let browser;
    before(async () => (browser = await start()));
    after(() => browser?.close());

    for (const [title, page] of Object.entries(pages)) {
      for (const isolated of [true, false]) {
        const how = isolated ? 'cross-origin isolated' : 'not isolated, under a strict policy';
        test(`a page ${title} tells the story, ${how}`, async () => {
          const server = await serve(page.folder, isolated ? ISOLATION : POLICY);
          try {
            const told = await browser.tell(server.url);
            assert.equal(told.text, story);
            assert.equal(told.shared, isolated && isolates);
            assert.equal(told.threads > 1, told.shared && told.processors > 1);
            assert.equal(/not cross-origin isolated/.test(told.why), !told.shared);
          } finally {
            server.close();
          }
        });
      }
    }
  });
}

test('a page tells the story from the development server of Vite', chromiumMissing, async () => {
  const { createServer } = await import('vite');
  const root = installed.app('vite', { name: 'vite-development' });
  const server = await createServer({ root, logLevel: 'error', server: { port: 0, host: '127.0.0.1', headers: ISOLATION } });
  await server.listen();
  const browser = await browsers[0].start();
  try {
    const told = await browser.tell(server.resolvedUrls.local[0]);
    assert.equal(told.text, story);
    assert.equal(told.threads > 1, told.processors > 1);
  } finally {
    await browser.close();
    await server.close();
  }
});

test('a page of a Chromium extension, which nothing isolates, tells the story', chromiumMissing, async () => {
  const told = await tellInExtension(installed.app('extension', { own: true }));
  assert.equal(told.text, story);
  assert.equal(told.threads, 1);
  assert.match(told.why, /not cross-origin isolated/);
});
