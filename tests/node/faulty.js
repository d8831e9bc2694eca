// A server on 127.0.0.1 that gives one file and fails in every way that a test asks for.
import { createServer } from 'node:http';

/**
 * What goes wrong with a request; all are optional.
 * @typedef {object} Fault
 * @property {number} [status] the answer's status instead of its contents
 * @property {Record<string, string>} [headers] more headers, or other values
 * @property {number} [cutAfter] bytes of the body, then the connection is cut
 * @property {number} [stallAfter] bytes of the body, then nothing more comes
 * @property {number} [endAfter] bytes of the body, then it ends as if it were whole
 * @property {boolean} [whole] the whole file, whatever range was asked for
 * @property {number} [total] the length of the file that is claimed
 * @property {number} [flip] byte of the file of which a bit is turned over
 * @property {string} [redirect] address to go to
 * @property {Promise<void>} [hold] the answer waits for it
 */

/**
 * @param {Uint8Array} bytes the file
 * @param {{ ranges?: boolean, length?: boolean }} [options] `ranges`: false for a server that knows none;
 *   `length`: false for one that does not tell lengths
 */
export async function serveFaulty(bytes, { ranges = true, length = true } = {}) {
  const state = {
    bytes,
    etag: '"one"',
    /** Every request so far. @type {{ method: string, url: string, range?: string, headers: any, bytes: number }[]} */
    log: [],
    /** Says what goes wrong with request `number` (from 0). @type {(request: any, number: number) => Fault | undefined} */
    fault: () => undefined,
    /** The files at some addresses, where they are not the one. @type {Record<string, Uint8Array>} */
    files: {},
    /** Other addresses: a JSON value or a function for each. @type {Record<string, any>} */
    routes: {},
    /** Answers what it knows, and says whether it did. @type {(request: any, response: any) => boolean} */
    elsewhere: () => false,
    /** Sent with every answer about the file. @type {Record<string, string>} */
    headers: {},
  };
  const server = createServer((request, response) => {
    if (state.elsewhere(request, response)) return;
    const entry = {
      method: request.method,
      url: request.url,
      range: request.headers.range,
      headers: request.headers,
      bytes: 0,
    };
    const route = state.routes[request.url];
    const number = state.log.push(entry) - 1;
    if (typeof route === 'function') return route(request, response);
    if (route !== undefined) return void response.end(JSON.stringify(route));
    void answer(request, response, entry, state.fault(entry, number) ?? {});
  });

  async function answer(request, response, entry, fault) {
    await fault.hold;
    if (fault.redirect) return void response.writeHead(302, { Location: fault.redirect }).end();
    if (fault.status && fault.status >= 300)
      return void response.writeHead(fault.status, { ...state.headers, ...fault.headers }).end('no');
    const bytes = state.files[request.url] ?? state.bytes;
    const file = fault.flip === undefined ? bytes : flipped(bytes, fault.flip);
    const total = fault.total ?? file.length;
    const part = ranges && !fault.whole && sameVersion(request, state.etag) && rangeOf(request, total);
    const headers = { ...state.headers, ETag: state.etag, 'Accept-Ranges': ranges ? 'bytes' : 'none' };
    if (part && part.from >= total)
      return void response.writeHead(416, { ...headers, 'Content-Range': `bytes */${total}` }).end();
    const { from, to } = part || { from: 0, to: total };
    if (part) headers['Content-Range'] = `bytes ${from}-${to - 1}/${total}`;
    if (length && fault.endAfter === undefined) headers['Content-Length'] = String(to - from);
    response.writeHead(part ? 206 : 200, { ...headers, ...fault.headers });
    if (request.method === 'HEAD') return void response.end();
    const limit = fault.cutAfter ?? fault.stallAfter ?? fault.endAfter ?? Infinity;
    const end = Math.min(to, file.length, from + limit);
    for (let at = from; at < end && !response.destroyed; at += PIECE) {
      const piece = file.subarray(at, Math.min(end, at + PIECE));
      entry.bytes += piece.length;
      if (!response.write(piece)) await drained(response);
    }
    if (fault.stallAfter !== undefined) return;
    if (end < to && fault.endAfter === undefined) return void response.socket?.destroySoon();
    response.end();
  }

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return Object.assign(state, {
    origin,
    url: `${origin}/model.gguf`,
    /** How many requests there were. */
    requests: () => state.log.length,
    /** Bytes of the file that were sent. */
    sent: () => state.log.reduce((sum, { bytes }) => sum + bytes, 0),
    /** Forgets what was and lets nothing fail from now on. */
    calm() {
      state.log.length = 0;
      state.fault = () => undefined;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  });
}

const PIECE = 1 << 16;

function drained(response) {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.on('drain', go).on('close', go);
  });
}

function flipped(bytes, at) {
  const copy = Uint8Array.from(bytes);
  copy[at] ^= 1;
  return copy;
}

function sameVersion(request, etag) {
  const condition = request.headers['if-range'];
  return condition === undefined || condition === etag;
}

function rangeOf(request, total) {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined) return undefined;
  return { from: Number(from), to: to ? Math.min(total, Number(to) + 1) : total };
}
