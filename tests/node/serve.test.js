// The server of the example page.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { serve } from '../../examples/chat/serve.js';

/** A request whose path is sent as it is. */
function ask(url, path, options = {}) {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, ...options }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    })
      .on('error', reject)
      .end();
  });
}

describe('the demo server', () => {
  let server;
  before(async () => (server = await serve()));
  after(() => server.close());

  test('serves the page with the headers that threads need', async () => {
    const { status, headers, body } = await ask(server.url, '/examples/chat/');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
    assert.match(headers['content-security-policy'], /'wasm-unsafe-eval'/);
    assert.match(body, /<!doctype html>/);
    assert.equal((await ask(server.url, '/')).headers.location, '/examples/chat/');
    assert.equal(
      (await ask(server.url, '/web/index.js')).headers['content-type'],
      'text/javascript; charset=utf-8',
    );
  });

  test('leaves the headers away when told to', async () => {
    const plain = await serve({ isolated: false });
    const { headers } = await ask(plain.url, '/examples/chat/');
    assert.equal(headers['cross-origin-opener-policy'], undefined);
    await plain.close();
  });

  test('gives nothing outside of its folders', async () => {
    for (const path of [
      '/package.json',
      '/.git/config',
      '/src/halfbyte.h',
      '/web/../package.json',
      '/web/%2e%2e/package.json',
      '/web/..%2fpackage.json',
      '/web/..%5cpackage.json',
      '//etc/passwd',
      '/web/%00',
      '/web/%zz',
      '/web',
      '/web/',
      '/web/tsconfig.json',
    ])
      assert.equal((await ask(server.url, path)).status, 404, path);
    assert.equal((await ask(server.url, '/web/index.js', { method: 'POST' })).status, 405);
  });

  test('answers ranges', async () => {
    const whole = (await ask(server.url, '/web/index.js')).body;
    const range = (value) => ask(server.url, '/web/index.js', { headers: { Range: value } });
    const some = await range('bytes=3-7');
    assert.equal(some.status, 206);
    assert.equal(some.body, whole.slice(3, 8));
    assert.equal(some.headers['content-range'], `bytes 3-7/${Buffer.byteLength(whole)}`);
    assert.equal((await range('bytes=-5')).body, whole.slice(-5));
    assert.equal((await range('bytes=10-')).body, whole.slice(10));
    assert.equal((await range('bytes=9999999-')).status, 416);
    assert.equal((await range('lines=1-2')).status, 200);
    const head = await ask(server.url, '/web/index.js', { method: 'HEAD' });
    assert.equal(head.body, '');
    assert.equal(Number(head.headers['content-length']), Buffer.byteLength(whole));
  });
});
