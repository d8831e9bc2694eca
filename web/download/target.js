// What a name stands for: where its bytes are fetched, and how the cache calls it.
import { canonicalUrl } from '../cache/entry.js';
import { hubEntry, hubIdentity, hubUrl, isHubName, parseHubName } from './hub.js';

/** @import { HubHow } from './hub.js' */

/**
 * @typedef {object} Target
 * @property {string} url
 * @property {string} identity in the cache
 * @property {(how: HubHow) => ReturnType<typeof hubEntry>} [entry] asks the hub about the file
 */

/** @param {string} name @param {string} [hub] @returns {Target} */
export function targetOf(name, hub) {
  if (!isHubName(name)) return { url: name, identity: canonicalUrl(name) };
  const file = parseHubName(name, hub);
  return {
    url: hubUrl(file),
    identity: hubIdentity(file),
    entry: (how) => hubEntry(file, how),
  };
}
