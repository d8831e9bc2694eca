// One request for some bytes of a file, and what its answer says about the file. Nothing that a
// server says is believed before it agrees with what was asked.
import { NetworkError } from '../error.js';
import { isNode } from '../platform.js';
import { retryAfter } from './retry.js';
import { Watch } from './watch.js';

/** @import { Patience } from './retry.js' */

const MOST_HOPS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * What is known of a file on a server.
 * @typedef {object} Remote
 * @property {number} [size]
 * @property {string} [etag]
 * @property {string} [modified]
 */

/**
 * @typedef {object} Answer
 * @property {boolean} ranged whether the server gave the range that was asked for; the body is the
 *   whole file if not
 * @property {Remote} remote
 * @property {string} url where the bytes came from, after redirects
 * @property {() => Promise<Uint8Array | undefined>} read the next bytes
 * @property {() => void} close drops the rest
 */

/** The server gives a range and hides from this page which one it is. */
export class HiddenError extends Error {}

/** The file on the server is not the one whose bytes we have. */
export class ChangedError extends Error {}

/**
 * @typedef {object} Question
 * @property {number} from first byte
 * @property {number} [to] the byte behind the last one; the file's end unless given
 * @property {boolean} [whole] ask for the whole file, whatever is wanted of it
 * @property {Remote} [known] of the file whose other bytes we have
 * @property {Record<string, string>} headers
 * @property {AbortSignal} signal
 * @property {Patience} patience
 */

/** @param {string} url @param {Question} question @returns {Promise<Answer>} */
export async function ask(url, { from, to, whole, known = {}, headers, signal, patience }) {
  const watch = new Watch(url, signal, patience.stall);
  try {
    const response = await watch.over(
      follow(url, headers, {
        headers: whole ? {} : rangeHeaders(url, from, to, known),
        signal: watch.signal,
        cache: 'no-store', // the bytes lie in a cache of ours
      }),
    );
    if (url.startsWith('https:') && response.url.startsWith('http:'))
      throw new NetworkError(`${url} leads to an address without TLS, ${response.url}`);
    const { ranged, remote } = understand(url, response, from, to, known.size);
    if (differs(remote, known)) throw new ChangedError(`${url} changed on its server`);
    if (!response.body) throw new NetworkError(`${url} came without contents`);
    const body = response.body.getReader();
    return {
      ranged,
      remote,
      url: response.url || url,
      read: async () => (await watch.over(body.read())).value,
      close: () => watch.close(),
    };
  } catch (error) {
    watch.close();
    throw error;
  }
}

/**
 * Fetches, and sees to it that other hosts that are redirected to do not get the caller's headers.
 * In a page the browser follows redirects by itself, and leaves only Authorization out.
 * @param {string} url
 * @param {Record<string, string>} own headers of the caller's
 * @param {{ method?: 'HEAD', headers: Record<string, string>, signal: AbortSignal,
 *   cache: 'no-store' }} init
 * @returns {Promise<Response>}
 */
export async function follow(url, own, init) {
  if (!isNode) return fetch(url, { ...init, headers: { ...own, ...init.headers } });
  const { origin } = new URL(url);
  for (let at = url, hops = 0; hops < MOST_HOPS; hops++) {
    const headers = new URL(at).origin === origin ? { ...own, ...init.headers } : init.headers;
    const response = await fetch(at, { ...init, headers, redirect: 'manual' });
    const location = response.headers.get('Location');
    if (!REDIRECTS.has(response.status) || !location) return response;
    await response.body?.cancel();
    at = new URL(location, at).href;
    if (!/^https?:/.test(at) || (url.startsWith('https:') && !at.startsWith('https:'))) break;
  }
  throw new TypeError('it redirects too often, or to an address that is not safe');
}

/**
 * If-Range keeps a server from giving a piece of another file. A page may not send it to another
 * origin without asking first, which many servers refuse; there the answer's ETag has to do.
 * @param {string} url
 * @param {number} from
 * @param {number | undefined} to
 * @param {Remote} known
 * @returns {Record<string, string>}
 */
function rangeHeaders(url, from, to, { etag, modified }) {
  /** @type {Record<string, string>} */
  const headers = { Range: `bytes=${from}-${to === undefined ? '' : to - 1}` };
  const origin = globalThis.location?.origin;
  const validator = etag?.startsWith('W/') ? undefined : (etag ?? modified);
  if (validator && (!origin || new URL(url).origin === origin)) headers['If-Range'] = validator;
  return headers;
}

/**
 * What an answer gives, or the error that it is.
 * @param {string} url
 * @param {Response} response
 * @param {number} from
 * @param {number | undefined} to
 * @param {number | undefined} size if it is known
 * @returns {{ ranged: boolean, remote: Remote }}
 */
function understand(url, response, from, to, size) {
  const { status, headers } = response;
  const remote = {
    etag: headers.get('ETag') ?? undefined,
    modified: headers.get('Last-Modified') ?? undefined,
  };
  // The length of what travels; of what arrives only if nothing is unpacked on the way.
  const packed = headers.has('Content-Encoding');
  const length = packed ? undefined : count(headers.get('Content-Length'));
  if (status === 200) return { ranged: false, remote: { ...remote, size: length } };
  const range = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(headers.get('Content-Range') ?? '');
  const total = count(range?.[3]);
  if (status === 416 && size !== undefined && total !== undefined && total !== size)
    throw new ChangedError(`${url} has ${total} bytes, not ${size}`);
  if (status !== 206) throw refusal(url, response);
  if (packed) throw new NetworkError(`${url} gave a piece of its file in packed form`);
  // Pages see this header of other origins only if the server allows it; then the length must do.
  if (!headers.has('Content-Range') && size !== undefined && to !== undefined) {
    if (length === to - from) return { ranged: true, remote: { ...remote, size } };
  }
  if (!headers.has('Content-Range') && size === undefined) throw new HiddenError(url);
  const first = count(range?.[1]);
  const last = count(range?.[2]);
  if (first !== from || last === undefined || last < from || (total ?? Infinity) <= last)
    throw new NetworkError(
      `${url} was asked for bytes from ${from} and answered ` +
        `"${headers.get('Content-Range') ?? 'no Content-Range'}"`,
    );
  return { ranged: true, remote: { ...remote, size: total } };
}

/** @param {string | null | undefined} digits */
function count(digits) {
  return digits && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined;
}

/** @param {string} url @param {Response} response */
export function refusal(url, { status, headers }) {
  const seconds = retryAfter(headers.get('Retry-After'));
  const hints = /** @type {Record<number, string>} */ ({
    401: '; it wants to know who asks: give `headers` with an Authorization',
    403: '; it is not for everyone: give `headers` with an Authorization that may read it',
    404: '; check the address',
    429: seconds === undefined ? '' : `; it wants to be asked again in ${seconds} s`,
  });
  const message = `${url} could not be fetched: HTTP status ${status}${hints[status] ?? ''}`;
  return new NetworkError(message, { status, retryAfter: seconds });
}

/** Whether an answer is about another file than the one known. @param {Remote} now @param {Remote} known */
function differs(now, known) {
  const other = (/** @type {keyof Remote} */ key) =>
    now[key] !== undefined && known[key] !== undefined && now[key] !== known[key];
  if (other('size') || other('etag')) return true;
  return (now.etag === undefined || known.etag === undefined) && other('modified');
}
