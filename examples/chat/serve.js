// Serves the example pages on this machine, with the headers that threads need.
//   node examples/chat/serve.js [--port N] [--no-isolation]
import { createReadStream, realpathSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = realpathSync(fileURLToPath(new URL('../../', import.meta.url))) + sep;
const SERVED = [
  'web',
  'build/wasm',
  'examples/adapt',
  'examples/chat',
  'examples/models',
  'node_modules/@huggingface/jinja/dist',
];
const PAGE = '/examples/chat/';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.gguf': 'application/octet-stream',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

const HEADERS = {
  'Cache-Control': 'no-cache',
  'Content-Security-Policy':
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; " +
    "connect-src 'self' https:; " +
    "base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  // The page's service worker keeps the files of the package, too, which lie outside its folder.
  'Service-Worker-Allowed': '/',
};

// A page with these headers may share memory between its threads.
const ISOLATION = {
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** The file that a path of a URL names, or undefined if there is none that may be served. */
async function findFile(pathname) {
  try {
    const name = decodeURIComponent(pathname)
      .replace(/\/$/, '/index.html')
      .replace(/^\/@/, '/node_modules/@'); // packages lie beside halfbyte, as where it is installed
    if (name.includes('\0') || name.includes('\\')) return undefined;
    const path = await realpath(ROOT + name.slice(1));
    const served = SERVED.some((folder) =>
      path.startsWith(ROOT + folder.replaceAll('/', sep) + sep),
    );
    const { size } = await stat(path);
    return served && extname(path) in TYPES ? { path, size } : undefined;
  } catch {
    return undefined;
  }
}

/** The first and last byte of a Range header, null if it cannot be met, undefined without one. */
function parseRange(header, size) {
  const range = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!range || (range[1] === '' && range[2] === '')) return undefined;
  const first = range[1] === '' ? Math.max(0, size - Number(range[2])) : Number(range[1]);
  const last = range[1] === '' || range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1);
  return first <= last ? { first, last } : null;
}

async function answer(request, response, headers) {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return response.writeHead(405, headers).end();
  if (pathname === '/') return response.writeHead(302, { ...headers, Location: PAGE }).end();
  const file = await findFile(pathname);
  if (!file) return response.writeHead(404, headers).end('not found\n');

  const range = parseRange(request.headers.range, file.size);
  if (range === null)
    return response.writeHead(416, { ...headers, 'Content-Range': `bytes */${file.size}` }).end();
  const { first, last } = range ?? { first: 0, last: file.size - 1 };
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'Content-Type': TYPES[extname(file.path)],
    'Content-Length': last - first + 1,
    'Accept-Ranges': 'bytes',
    ...(range && { 'Content-Range': `bytes ${first}-${last}/${file.size}` }),
  });
  if (request.method === 'HEAD' || file.size === 0) return response.end();
  pipeline(createReadStream(file.path, { start: first, end: last }), response, () => {});
}

/**
 * Starts the server on 127.0.0.1; port 0 takes a free one.
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export function serve({ port = 0, isolated = true } = {}) {
  const headers = { ...HEADERS, ...(isolated && ISOLATION) };
  const server = createServer((request, response) => {
    answer(request, response, headers).catch(() => response.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        close: () =>
          new Promise((done) => {
            server.close(done);
            server.closeAllConnections();
          }),
      });
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '8080' }, 'no-isolation': { type: 'boolean' } },
  });
  const { url } = await serve({ port: Number(values.port), isolated: !values['no-isolation'] });
  console.log(`The page is at ${url}${PAGE}, one that trains at ${url}/examples/adapt/`);
  if (values['no-isolation']) console.log('Without cross-origin isolation: one thread only.');
}
