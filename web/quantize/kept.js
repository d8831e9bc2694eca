// Results that are kept in the cache: how they are called there, and reading them.
import { keyOf, openEntry } from '../cache/entry.js';
import { CHUNK } from '../cache/manifest.js';
import { openStore } from '../cache/store.js';
import { targetOf } from '../download/target.js';
import { IntegrityError } from '../error.js';
import { sha256, sha256Text } from '../hash.js';
import { builtin } from '../platform.js';

/** @import { Entry } from '../cache/entry.js' */
/** @import { Store } from '../cache/store.js' */
/** @import { DownloadSettings, Reader, Source } from '../sources.js' */
/** @import { QuantizeArgs } from './options.js' */

/** @param {DownloadSettings} settings */
export function storeOf({ cache }) {
  return openStore({ path: typeof cache === 'string' ? cache : undefined });
}

/**
 * What a result is called: by its source and by what was done to it.
 * @param {{ sources: Source[], options: QuantizeArgs }} call
 * @param {string} [hub]
 * @returns {Promise<string | undefined>} undefined for sources without a name of their own
 */
export async function identityOf({ sources, options }, hub) {
  const names = await Promise.all(sources.map((source) => sourceIdentity(source, hub)));
  if (names.includes(undefined)) return undefined;
  const { type, method, bits, calibration, rules, samples, length, seed, others } = options;
  const said = {
    ...{ type: type?.toLowerCase(), method, bits, ...others },
    tensors: rules.map(([pattern, type]) => `${pattern}=${type}`).join(),
    ...(calibration.length > 0 && {
      calibration: await sha256Text(JSON.stringify(calibration)),
      samples,
      length,
      seed,
    }),
  };
  const parts = Object.entries(said).filter(([, value]) => value);
  return `quantized(${parts.map((part) => part.join('=')).join(';')}):${names.join(' ')}`;
}

/** @param {Source} source @param {string} [hub] @returns {Promise<string | undefined>} */
async function sourceIdentity(source, hub) {
  switch (source.kind) {
    case 'download': {
      const { identity } = targetOf(source.name, hub);
      return source.sha256 ? `${identity}#${source.sha256}` : identity;
    }
    case 'path': {
      const fs = /** @type {typeof import('node:fs/promises')} */ (builtin('node:fs/promises'));
      try {
        const { size, mtimeMs } = await fs.stat(source.path);
        return `file:${await fs.realpath(source.path)}#${size},${mtimeMs}`;
      } catch {
        return undefined; // opening it tells what is wrong
      }
    }
    case 'blob': {
      const { name, size, lastModified } = /** @type {Partial<File>} */ (source.blob);
      return name && `file:${name}#${size},${lastModified}`;
    }
    default:
      return undefined;
  }
}

/**
 * Reads a result from its start to its end, and gives nothing that is not what was kept.
 * @param {string} identity
 * @param {DownloadSettings} settings
 * @returns {Promise<Reader>}
 */
export async function openKept(identity, settings) {
  const store = await storeOf(settings);
  const entry = await openEntry(store, identity);
  const { manifest } = entry;
  if (!manifest || !entry.complete) throw await damaged(store, entry);
  await noteUse(store, identity);
  const buffer = new Uint8Array(CHUNK);
  /** @type {Uint8Array} */
  let rest = new Uint8Array(0);
  let next = 0;
  return {
    size: manifest.size,
    read: async (into) => {
      if (rest.length === 0) {
        if (next === manifest.hashes.length) return 0;
        rest = await entry.readChunk(next, buffer);
        if ((await sha256(rest)) !== manifest.hashes[next++]) throw await damaged(store, entry);
      }
      const target = into();
      const part = rest.subarray(0, target.length);
      target.set(part);
      rest = rest.subarray(part.length);
      return part.length;
    },
    close: () => entry.close(),
  };
}

/** @param {Store} store @param {Entry} entry */
async function damaged(store, entry) {
  await store.lock(entry.key, {}, () => entry.discard());
  return new IntegrityError(`${entry.identity} in the cache is damaged and was removed`);
}

/** Unless somebody has the lock, or nothing can be written. @param {Store} store @param {string} identity */
async function noteUse(store, identity) {
  try {
    await store.lock(await keyOf(identity), { wait: false }, async () => {
      const entry = await openEntry(store, identity);
      if (entry.complete) await entry.touch();
    });
  } catch {
    // The bytes are there, which is all that matters to a load.
  }
}
