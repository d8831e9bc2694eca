// Names of files on a hub of models: `hf:owner/repo/path/file.gguf[@revision]`.
import { NetworkError } from '../error.js';
import { ArgumentError } from '../generated.js';
import { follow, refusal } from './http.js';
import { Backoff } from './retry.js';
import { isSha256 } from './settings.js';
import { Watch } from './watch.js';

/** @import { OnRetry, Patience } from './retry.js' */

export const HUB = 'https://huggingface.co';
const MOST_PAGES = 20;
const MOST_BYTES = 8 << 20; // of one page of a listing

/**
 * @typedef {object} HubFile
 * @property {string} hub address of the hub, without a slash at the end
 * @property {string} repo owner/name
 * @property {string} path
 * @property {string} revision
 */

/**
 * @typedef {{ headers: Record<string, string>, signal: AbortSignal, patience: Patience,
 *   onRetry?: OnRetry }} HubHow
 */

/** @param {string} name */
export const isHubName = (name) => /^hf:/i.test(name);

/**
 * @param {string} name
 * @param {string} [hub]
 * @returns {HubFile}
 */
export function parseHubName(name, hub = HUB) {
  const match = /^hf:(?:\/\/)?([^/@]+)\/([^/@]+)\/([^@]+?)(?:@(.+))?$/i.exec(name);
  const [, owner, repo, path, revision = 'main'] = match ?? [];
  const word = /^[\w.-]{1,96}$/;
  const plain = (/** @type {string} */ part) =>
    part !== '' && part !== '.' && part !== '..' && !/[\\?#%\0-\x1f\x7f]/.test(part);
  if (
    !match ||
    ![owner, repo].every((part) => word.test(part) && plain(part)) ||
    ![...path.split('/'), ...revision.split('/')].every(plain)
  )
    throw new ArgumentError(
      `'${name}' is not the name of a file on a hub; that is hf:owner/repo/file.gguf or ` +
        `hf:owner/repo/file.gguf@revision`,
    );
  return { hub: hub.replace(/\/+$/, ''), repo: `${owner}/${repo}`, path, revision };
}

/** The name by which a file is known in the cache. @param {HubFile} file */
export function hubIdentity({ hub, repo, path, revision }) {
  const host = hub === HUB ? '' : `${hub} `;
  return `${host}hf:${repo}/${path}@${revision}`;
}

/** @param {HubFile} file */
export function hubUrl({ hub, repo, path, revision }) {
  return `${hub}/${repo}/resolve/${encodeURIComponent(revision)}/${escapePath(path)}`;
}

/** @param {string} path */
const escapePath = (path) => path.split('/').map(encodeURIComponent).join('/');

/**
 * What the hub says about a file: its size and, if it is one of its large files, its SHA-256.
 * Undefined if it does not say; the file's own address will tell why.
 * @param {HubFile} file
 * @param {HubHow} options
 * @returns {Promise<{ size: number, sha256: string | undefined } | undefined>}
 */
export async function hubEntry(file, options) {
  const { hub, repo, path, revision } = file;
  const folder = escapePath(path.split('/').slice(0, -1).join('/'));
  /** @type {string | undefined} */
  let url = `${hub}/api/models/${repo}/tree/${encodeURIComponent(revision)}/${folder}`;
  /** @type {string[]} */
  const others = [];
  for (let page = 0; url && page < MOST_PAGES; page++) {
    /** @type {{ rows: any[], next: string | undefined } | undefined} */
    const listing = await readPage(url, options);
    if (!listing) return undefined;
    for (const row of listing.rows) {
      if (row?.type !== 'file' || typeof row.path !== 'string') continue;
      if (row.path === path) return entryOf(row);
      if (row.path.endsWith('.gguf')) others.push(row.path);
    }
    url = listing.next;
  }
  if (url) return undefined;
  const choice = others.length ? `; it has ${others.slice(0, 20).join(', ')}` : '';
  throw new NetworkError(`${repo} at ${revision} has no file ${path}${choice}`, { status: 404 });
}

/** @param {any} row */
function entryOf({ size, lfs }) {
  const sha256 = typeof lfs?.oid === 'string' ? lfs.oid.replace(/^sha256:/, '') : undefined;
  if (!Number.isSafeInteger(size) || size < 0) return undefined;
  return { size, sha256: sha256 && isSha256(sha256) ? sha256 : undefined };
}

/**
 * @param {string} url
 * @param {HubHow} options
 * @returns {Promise<{ rows: any[], next: string | undefined } | undefined>}
 */
async function readPage(url, { headers, signal, patience, onRetry }) {
  // The listing is of use, not of need: little patience will do.
  const attempts = Math.min(3, patience.attempts);
  const backoff = new Backoff({ ...patience, attempts }, signal, onRetry);
  for (;;) {
    const watch = new Watch(url, signal, patience.stall);
    try {
      const response = await watch.over(
        follow(url, headers, { headers: {}, signal: watch.signal, cache: 'no-store' }),
      );
      if (!response.ok) throw refusal(url, response);
      const rows = JSON.parse(await limitedText(response, watch));
      return Array.isArray(rows)
        ? { rows, next: nextPage(url, response.headers.get('Link')) }
        : undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      if (!(error instanceof NetworkError)) throw error;
      if (!(await backoff.goesOn(error))) return undefined;
    } finally {
      watch.close();
    }
  }
}

/** @param {Response} response @param {Watch} watch */
async function limitedText(response, watch) {
  if (!response.body) return '';
  const body = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let piece; (piece = (await watch.over(body.read())).value);) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MOST_BYTES) throw new SyntaxError('the listing is too long');
  }
  return text + decoder.decode();
}

/** The address of a listing's next page, which must be on the same host. @param {string} url @param {string | null} link */
function nextPage(url, link) {
  const target = /<([^>]+)>\s*;[^,]*\brel="?next"?/i.exec(link ?? '')?.[1];
  if (!target) return undefined;
  const next = new URL(target, url);
  return next.origin === new URL(url).origin ? next.href : undefined;
}
