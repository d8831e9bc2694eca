// How large a file of a server is, before it is fetched.
import { keyOf, readManifest } from '../cache/entry.js';
import { follow } from './http.js';
import { PATIENCE } from './retry.js';
import { targetOf } from './target.js';
import { Watch } from './watch.js';

/** @import { DownloadOptions } from './settings.js' */

/**
 * What the cache knows of it, or the hub, or its server; nothing is tried twice.
 * @param {string} name a URL or the name of a file on a hub
 * @param {DownloadOptions & { signal: AbortSignal }} options
 * @returns {Promise<number | undefined>} undefined if nobody says
 */
export async function downloadSize(
  name,
  { store, hub, headers = {}, patience = PATIENCE, signal },
) {
  const target = targetOf(name, hub);
  const manifest = store && (await readManifest(store, await keyOf(target.identity)));
  if (manifest) return manifest.size;
  const once = { headers, signal, patience: { ...patience, attempts: 1 } };
  return (await target.entry?.(once))?.size ?? headSize(target.url, once);
}

/**
 * A page is told the length of a HEAD even where ranges are hidden from it.
 * @param {string} url
 * @param {{ headers: Record<string, string>, signal: AbortSignal, patience: { stall: number } }} how
 */
async function headSize(url, { headers, signal, patience }) {
  const watch = new Watch(url, signal, patience.stall);
  try {
    const response = await watch.over(
      follow(url, headers, {
        method: 'HEAD',
        headers: {},
        signal: watch.signal,
        cache: 'no-store',
      }),
    );
    const length = response.headers.get('Content-Length') ?? '';
    const packed = response.headers.has('Content-Encoding');
    return response.ok && !packed && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
  } finally {
    watch.close();
  }
}
