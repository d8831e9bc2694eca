// Models that come and go in a page leave nothing behind.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { serveFaulty } from '../node/faulty.js';
import { modelPath, root } from '../node/support.js';
import { BROWSERS, installed, start } from './support.js';

const ROUNDS = 20;
const WARM_UP = 5;
const TOLERANCE = 96 << 20; // bytes; a round holds some 30 MiB while it runs
const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };

/** Bytes of memory of a process and all that it started. */
function residentBytes(pid) {
  const children = new Map();
  const pages = new Map();
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const [, parent] = / \w (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'utf8'));
      children.set(parent, [...(children.get(parent) ?? []), name]);
      pages.set(name, Number(readFileSync(`/proc/${name}/statm`, 'utf8').split(' ')[1]));
    } catch {
      // It has just ended.
    }
  }
  const sum = (each) =>
    (children.get(each) ?? []).reduce((all, child) => all + sum(child), pages.get(each) ?? 0);
  return 4096 * sum(String(pid));
}

const linux = process.platform === 'linux' ? {} : { skip: 'skipped: no /proc' };

describe('memory in Chromium', { ...linux, ...installed(BROWSERS[0]) }, () => {
  let server, browser;
  before(async () => {
    server = await serveFaulty(await readFile(modelPath));
    server.elsewhere = (request, response) => {
      if (request.url === '/model.gguf') return false;
      const headers = {
        'Cross-Origin-Embedder-Policy': 'require-corp',
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Content-Type': TYPES[request.url.split('.').pop()] ?? 'text/html',
      };
      if (request.url === '/') response.writeHead(200, headers).end('<!doctype html><title>x</title>');
      else
        readFile(root + request.url).then(
          (body) => response.writeHead(200, headers).end(body),
          () => response.writeHead(404).end(),
        );
      return true;
    };
    browser = await start(BROWSERS[0]);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test(`is where it was after ${ROUNDS} models came and went, and so are the workers`, async () => {
    const page = await browser.newPage();
    await page.goto(server.origin);
    const devtools = await page.createCDPSession();
    const rounds = (count) =>
      page.evaluate(
        async (url, count) => {
          const { load } = await import('/web/index.js');
          for (let i = 0; i < count; i++) {
            const model = await load(url, { threads: 2, contextLength: 64 });
            await model.logits([1, 2, 3]);
            await model.dispose();
          }
        },
        server.url,
        count,
      );
    const memory = async () => {
      for (let i = 0; i < 3; i++) await devtools.send('HeapProfiler.collectGarbage');
      return residentBytes(browser.process().pid);
    };
    await rounds(WARM_UP);
    const first = await memory();
    await rounds(ROUNDS);
    const growth = (await memory()) - first;
    assert.ok(growth < TOLERANCE, `it grew by ${(growth / 2 ** 20).toFixed(1)} MiB`);
    // Their ends are told a moment later.
    for (let i = 0; i < 100 && page.workers().length > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(page.workers().length, 0);
  });
});
