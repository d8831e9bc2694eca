// The cache of browsers: the file system that a page's origin has of its own. Workers write through
// handles that are theirs alone; pages, which have no such handles, through copies. Reading asks for
// no handle that could keep another tab out.
import { abortError } from '../client.js';
import { EnvironmentError } from '../error.js';
import {
  canSync,
  copyPlace,
  move,
  patient,
  problem,
  readPlace,
  replace,
  syncPlace,
} from './opfs-place.js';
import { absent, checkName } from './store.js';

/** @import { Lock, Store } from './store.js' */

const FOLDER = 'halfbyte';
const TRIES = 20; // to read a file that others replace meanwhile

/** @returns {Promise<Store>} */
export async function openOpfs() {
  const folder = await openFolder();
  /** @param {string} name @param {boolean} [create] */
  const find = async (name, create = false) => {
    try {
      return await folder.getFileHandle(checkName(name), { create });
    } catch (cause) {
      if (isNotFound(cause)) return undefined;
      throw await problem(cause, `${name} could not be opened`);
    }
  };
  const need = async (/** @type {string} */ name, /** @type {boolean} */ create) => {
    const handle = await find(name, create);
    if (!handle) throw absent(name);
    return handle;
  };
  return {
    kind: 'opfs',
    open: async (name, { create = false, write = create } = {}) => {
      const handle = await need(name, create);
      if (!write) return readPlace(handle);
      return canSync(handle) ? syncPlace(handle) : copyPlace(handle);
    },
    readText: async (name) => {
      for (let tried = 1; ; tried++) {
        const handle = await find(name);
        try {
          return handle && (await (await handle.getFile()).text());
        } catch (cause) {
          // Somebody replaced or removed it between these steps.
          if (isPassing(cause) && tried < TRIES) continue;
          throw await problem(cause, `${name} could not be read`);
        }
      }
    },
    writeText: async (name, text) => {
      const handle = await need(name, true);
      if ('createWritable' in handle) return replace(handle, text);
      const place = await syncPlace(await need(`${name}.new`, true));
      try {
        await place.truncate(0);
        await place.write(0, new TextEncoder().encode(text));
        await place.flush();
      } finally {
        await place.close();
      }
      await move(await need(`${name}.new`, false), name);
    },
    rename: async (from, to) => move(await need(from, false), checkName(to)),
    remove: async (name) => {
      try {
        await patient(() => folder.removeEntry(checkName(name)));
      } catch (cause) {
        if (!isNotFound(cause))
          throw await problem(cause, `${name} could not be removed`);
      }
    },
    list: async () => {
      const files = [];
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind !== 'file') continue;
        const file = await /** @type {FileSystemFileHandle} */ (handle)
          .getFile()
          .catch(() => undefined); // it has just been removed
        if (file) files.push({ name, size: file.size });
      }
      return files;
    },
    space: async () => {
      const { usage, quota } = await navigator.storage.estimate();
      return { used: usage, quota };
    },
    // Only pages may ask; a worker is told how things stand.
    persist: async () =>
      (await navigator.storage.persisted?.()) || ((await navigator.storage.persist?.()) ?? false),
    lock,
  };
}

async function openFolder() {
  const storage = globalThis.navigator?.storage;
  if (typeof storage?.getDirectory !== 'function')
    throw new EnvironmentError(
      globalThis.isSecureContext === false
        ? 'only pages over HTTPS or from localhost have a file system of their own'
        : 'this browser gives pages no file system of their own',
    );
  try {
    return await (await storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  } catch (cause) {
    const { message } = /** @type {Error} */ (cause);
    throw new EnvironmentError(
      `the file system of this page cannot be used (${message}); a private window, or ` +
        'settings that block site data, may be the reason',
      { cause },
    );
  }
}

/** Whether a file went away while it was read. @param {unknown} error */
function isPassing(error) {
  return isNotFound(error) || /** @type {any} */ (error)?.name === 'NotReadableError';
}

/** @param {unknown} error */
function isNotFound(error) {
  return /** @type {any} */ (error)?.name === 'NotFoundError';
}

/** The browser frees what a tab or worker held when it ends. @type {Lock} */
async function lock(name, { signal, wait = true }, body) {
  if (signal?.aborted) throw abortError(signal);
  const options = wait ? { signal } : { ifAvailable: true };
  let begun = false;
  try {
    return await navigator.locks.request(`${FOLDER}-${name}`, options, (held) => {
      begun = true;
      return held ? body() : undefined;
    });
  } catch (error) {
    if (!begun && signal?.aborted) throw abortError(signal);
    throw error;
  }
}
