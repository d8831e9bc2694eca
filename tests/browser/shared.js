// The browsers that all tests of this folder share, since starting one costs more than most tests:
// each is started when it is first wanted, and ended after the last test of the process.
import { after } from 'node:test';
import { start } from './support.js';

/** @type {Map<string, Promise<import('puppeteer-core').Browser>>} */
const running = new Map();

after(async () => {
  for (const started of running.values()) await (await started).close();
});

async function shared(kind) {
  const before = await running.get(kind.name)?.catch(() => undefined);
  if (before?.connected) return before;
  const started = start(kind);
  running.set(kind.name, started);
  return started;
}

/**
 * A browser for a group of tests, which serve what they look at under an address of their own and
 * so share no storage with others. `close` closes the pages that are left.
 */
export async function borrow(kind) {
  const browser = await shared(kind);
  const pages = new Set();
  return {
    async newPage() {
      const page = await browser.newPage();
      pages.add(page);
      page.once('close', () => pages.delete(page));
      return page;
    },
    async close() {
      for (const page of pages) await page.close().catch(() => {});
    },
  };
}
