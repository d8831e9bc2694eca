// What a name stands for: where its bytes are fetched, and how the cache calls it.
import { canonicalUrl } from '../cache/entry.js';
import { hubEntry, hubIdentity, hubUrl, isHubName, parseHubName } from './hub.js';

/** @import { Patience } from './retry.js' */

/**
 * @typedef {object} Target
 * @property {string} url
 * @property {string} identity in the cache
 * @property {(how: { headers: Record<string, string>, signal: AbortSignal, patience: Patience }) =>
 *   Promise<string | undefined>} [sha256] asks the hub what the file's SHA-256 is
 */

/** @param {string} name @param {string} [hub] @returns {Target} */
export function targetOf(name, hub) {
  if (!isHubName(name)) return { url: name, identity: canonicalUrl(name) };
  const file = parseHubName(name, hub);
  return {
    url: hubUrl(file),
    identity: hubIdentity(file),
    sha256: async (how) => (await hubEntry(file, how))?.sha256,
  };
}
