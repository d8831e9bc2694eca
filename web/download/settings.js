// Checks what a caller says about downloads.
import { ArgumentError } from '../generated.js';
import { isNode } from '../platform.js';

/** @import { Store } from '../cache/store.js' */
/** @import { DownloadSettings } from '../sources.js' */
/** @import { OnRetry, Patience } from './retry.js' */

/**
 * @typedef {object} DownloadOptions
 * @property {Store} [store] where to keep the bytes; nowhere unless given
 * @property {Record<string, string>} [headers] for the server that is named, not for others that
 *   it sends us to
 * @property {string} [notKept] why there is no store, where one was wanted
 * @property {string} [sha256] that the file must have
 * @property {string} [hub] address of the hub that `hf:` names are of
 * @property {boolean} [strict] fail where the cache fails, instead of going on without it
 * @property {boolean} [headerOnly] only the file's start will be read: keep nothing
 * @property {number} [parallel] connections at once
 * @property {AbortSignal} [signal]
 * @property {Patience} [patience]
 * @property {(state: 'wait' | 'download' | 'load') => void} [onState]
 * @property {OnRetry} [onRetry]
 */

/** @param {string} text */
export const isSha256 = (text) => /^[0-9a-f]{64}$/.test(text);

/**
 * @param {{ cache?: boolean | string, headers?: Record<string, string>, hub?: string }} options
 * @returns {DownloadSettings}
 */
export function downloadSettings({ cache, headers, hub }) {
  if (typeof cache === 'string' && (!isNode || cache === ''))
    throw new ArgumentError('cache names a directory in Node only; it is true or false elsewhere');
  if (cache !== undefined && typeof cache !== 'boolean' && typeof cache !== 'string')
    throw new ArgumentError(`cache must be true, false or a directory, not ${cache}`);
  return {
    cache,
    headers: headers === undefined ? undefined : headerRecord(headers),
    hub: hub === undefined ? undefined : hubAddress(hub),
  };
}

/** @param {unknown} headers */
function headerRecord(headers) {
  try {
    return Object.fromEntries(new Headers(/** @type {any} */ (headers)));
  } catch (cause) {
    throw new ArgumentError(`headers must be names and values of HTTP: ${cause}`, { cause });
  }
}

/** @param {unknown} hub */
function hubAddress(hub) {
  const url = URL.canParse(String(hub)) ? new URL(String(hub)) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash)
    throw new ArgumentError(`hub must be an address such as https://huggingface.co, not '${hub}'`);
  return url.href.replace(/\/+$/, '');
}
