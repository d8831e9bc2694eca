// Serves the pages: halfbyte, the installed peers and the models, under paths of their own, with
// the headers that threads need.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve } from 'node:path';
import { pipeline } from 'node:stream';

const root = resolve(import.meta.dirname, '../..');

/** The first part of a path, and the folder that it stands for. */
const FOLDERS = new Map([
  ['web', join(root, 'web')],
  ['build', join(root, 'build')],
  ['tests', import.meta.dirname],
  ['peers', join(import.meta.dirname, 'node_modules')],
]);

const TYPES = new Map([
  ['.js', 'text/javascript; charset=utf-8'],
  ['.mjs', 'text/javascript; charset=utf-8'],
  ['.wasm', 'application/wasm'],
]);

const HEADERS = {
  'Cache-Control': 'no-cache',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/**
 * @param {string} pathname
 * @param {string | undefined} model the file behind /model.gguf
 */
function fileOf(pathname, model) {
  if (pathname === '/model.gguf') return model;
  const [, first, ...rest] = normalize(decodeURIComponent(pathname)).split('/');
  const folder = FOLDERS.get(first);
  return folder && join(folder, ...rest);
}

/**
 * @param {{ model?: string }} served
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function serve(served) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/')
      return response
        .writeHead(200, { ...HEADERS, 'Content-Type': 'text/html' })
        .end('<!doctype html><link rel="icon" href="data:,"><title>bench:peers</title>');
    const path = fileOf(pathname, served.model);
    const info = path ? await stat(path).catch(() => undefined) : undefined;
    if (!path || !info?.isFile()) return response.writeHead(404, HEADERS).end();
    response.writeHead(200, {
      ...HEADERS,
      'Content-Type': TYPES.get(extname(path)) ?? 'application/octet-stream',
      'Content-Length': info.size,
    });
    if (request.method === 'HEAD') return response.end();
    pipeline(createReadStream(path), response, () => {});
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', () => done(undefined)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
