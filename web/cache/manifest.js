// What is known of a file in the cache: where it comes from, which of its chunks are there, and what
// their hashes are. Whatever is read could be damaged or another program's; it counts only if its
// checksum and every field are right.
import { sha256Text } from '../hash.js';

/** Bytes between two hashes. */
export const CHUNK = 4194304;

const LARGEST = 2 ** 46; // bytes: no file that any engine could hold
const LONGEST_TEXT = 64 * 2 ** 20;
const HASH = /^[0-9a-f]{64}$/;

/**
 * @typedef {object} Manifest
 * @property {1} version
 * @property {string} identity what the entry is of: a URL, or hf:owner/repo/file@revision
 * @property {string} url where its bytes come from
 * @property {string} [etag]
 * @property {string} [modified] the header Last-Modified
 * @property {number} size in bytes
 * @property {4194304} chunk
 * @property {(string | null)[]} hashes of each chunk that is there
 * @property {string} [sha256] of the whole file: expected, or proved once it is complete
 * @property {boolean} complete
 * @property {number} created in ms since 1970
 * @property {number} used when it was loaded last
 */

/**
 * @param {{ identity: string, url: string, etag?: string, modified?: string, size: number,
 *   sha256?: string }} file
 * @returns {Manifest}
 */
export function makeManifest({ identity, url, etag, modified, size, sha256 }) {
  const now = Date.now();
  return {
    version: 1,
    identity,
    url: withoutSecrets(url),
    etag,
    modified,
    size,
    chunk: CHUNK,
    hashes: new Array(chunkCount(size)).fill(null),
    sha256,
    complete: false,
    created: now,
    used: now,
  };
}

/** @param {number} size in bytes */
export function chunkCount(size) {
  return Math.ceil(size / CHUNK);
}

/** A URL without a user's name and password, which are not to lie on a disk. @param {string} url */
export function withoutSecrets(url) {
  try {
    const parsed = new URL(url);
    if (!parsed.username && !parsed.password) return url;
    parsed.username = parsed.password = '';
    return parsed.href;
  } catch {
    return url;
  }
}

/** @param {Manifest} manifest @returns {Promise<string>} */
export async function formatManifest(manifest) {
  const text = JSON.stringify(manifest);
  return JSON.stringify({ ...manifest, check: await sha256Text(text) });
}

/**
 * @param {string | undefined} text
 * @returns {Promise<Manifest | undefined>} none if anything in it is damaged
 */
export async function parseManifest(text) {
  if (text === undefined || text.length > LONGEST_TEXT) return undefined;
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { check, ...manifest } = value;
  if (check !== (await sha256Text(JSON.stringify(manifest)))) return undefined;
  return isManifest(manifest) ? manifest : undefined;
}

/** @param {any} m @returns {m is Manifest} */
function isManifest(m) {
  return (
    m.version === 1 &&
    typeof m.identity === 'string' &&
    typeof m.url === 'string' &&
    isOptionalText(m.etag) &&
    isOptionalText(m.modified) &&
    isCount(m.size) &&
    m.size <= LARGEST &&
    m.chunk === CHUNK &&
    areHashes(m.hashes, m.size) &&
    (m.sha256 === undefined || isHash(m.sha256)) &&
    typeof m.complete === 'boolean' &&
    (!m.complete || (isHash(m.sha256) && !m.hashes.includes(null))) &&
    isCount(m.created) &&
    isCount(m.used)
  );
}

/** @param {unknown} value */
function isOptionalText(value) {
  return value === undefined || typeof value === 'string';
}

/** @param {unknown} value */
function isCount(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}

/** @param {unknown} value */
export function isHash(value) {
  return typeof value === 'string' && HASH.test(value);
}

/** @param {unknown} hashes @param {number} size */
function areHashes(hashes, size) {
  return (
    Array.isArray(hashes) &&
    hashes.length === chunkCount(size) &&
    hashes.every((hash) => hash === null || isHash(hash))
  );
}
