// Files in the cache that live as long as a piece of work: copies of what comes in order, and results
// until they are complete. Whoever started the work removes what its worker could not.
import { Hold } from '../download/hold.js';
import { IoError } from '../generated.js';
import { keyOf } from '../cache/entry.js';
import { storeOf } from './kept.js';

/** @import { Place, Store } from '../cache/store.js' */
/** @import { DownloadSettings } from '../sources.js' */
/** @typedef {Place & { readSync: NonNullable<Place['readSync']>, writeSync: NonNullable<Place['writeSync']> }} SyncPlace */

const RUN = 28; // hexadecimal digits that the names of a work have in common
const KEY = 32; // of the name of an entry

/** The name of a work, like no other one's. */
export function newRun() {
  const bytes = crypto.getRandomValues(new Uint8Array(RUN / 2));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class TemporaryFiles {
  #run;
  #settings;
  /** @type {{ store: Store, name: string, place: Place, hold: Hold }[]} */ #files = [];

  /** @param {string} run @param {DownloadSettings} settings */
  constructor(run, settings) {
    this.#run = run;
    this.#settings = settings;
  }

  /**
   * An empty file.
   * @param {Store} [store]
   * @returns {Promise<SyncPlace & { name: string }>}
   */
  async create(store) {
    store ??= await storeOf(this.#settings);
    const key = this.#run + this.#files.length.toString(16).padStart(4, '0');
    // As parts of an entry they count for nothing, and may be cleared away when nobody holds them.
    const name = `${key}.part`;
    const hold = new Hold(store, key);
    await hold.take(new AbortController().signal);
    const place = await store.open(name, { create: true, write: true });
    this.#files.push({ store, name, place, hold });
    if (!place.readSync || !place.writeSync)
      throw new IoError('files of this page can be written in workers only');
    return { .../** @type {SyncPlace} */ (place), name };
  }

  /** Removes all that were not renamed. */
  async close() {
    for (const { store, name, place, hold } of this.#files.splice(0)) {
      await place.close();
      await store.remove(name);
      await hold.release();
    }
  }
}

/**
 * Removes what a worker that was ended has left.
 * @param {string} run
 * @param {DownloadSettings} settings
 * @param {string} [identity] of an entry whose lock it held
 */
export async function sweep(run, settings, identity) {
  const store = await storeOf(settings);
  const left = (await store.list()).map(({ name }) => name).filter((name) => name.startsWith(run));
  // The system, or the next who wants it, frees the lock of a worker that was ended.
  for (const key of new Set(left.map((name) => name.slice(0, KEY))))
    await store.lock(key, {}, () => store.remove(`${key}.part`));
  if (identity) await store.lock(await keyOf(identity), { wait: false }, async () => {});
}
