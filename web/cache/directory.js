// The cache of Node: a directory of plain files.
import { QuotaError } from '../error.js';
import { IoError } from '../generated.js';
import { builtin } from '../platform.js';
import { lockFile } from './lockfile.js';
import { absent, checkName } from './store.js';

/** @import { Place, Store } from './store.js' */

/** @returns {typeof import('node:fs/promises')} */
const fs = () => builtin('node:fs/promises');
/** @returns {typeof import('node:fs')} */
const syncFs = () => builtin('node:fs');
/** @returns {typeof import('node:path')} */
const paths = () => builtin('node:path');

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Where the cache lies: HALFBYTE_CACHE, or where the system wants caches. @returns {string} */
export function cacheDirectory() {
  const { HALFBYTE_CACHE, XDG_CACHE_HOME } = builtin('node:process').env;
  const { isAbsolute, join, resolve } = paths();
  if (HALFBYTE_CACHE) return resolve(HALFBYTE_CACHE);
  // The specification wants relative paths ignored.
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'halfbyte');
  return join(builtin('node:os').homedir(), '.cache', 'halfbyte');
}

/** @param {string} [path] @returns {Promise<Store>} */
export async function openDirectory(path = cacheDirectory()) {
  const root = paths().resolve(path);
  try {
    await fs().mkdir(root, { recursive: true });
    await fs().access(root, fs().constants.R_OK | fs().constants.W_OK);
  } catch (cause) {
    throw new IoError(
      `the cache's directory ${root} cannot be used: ${/** @type {Error} */ (cause).message}; set ` +
        'HALFBYTE_CACHE to one that can be written',
      { cause },
    );
  }
  const at = (/** @type {string} */ name) => paths().join(root, checkName(name));
  return {
    kind: 'directory',
    open: async (name, options) => openPlace(name, at(name), root, options),
    readText: (name) => readText(name, at(name)),
    writeText: (name, text) => writeText(name, at(name), text, root),
    rename: async (from, to) => {
      await fs().rename(at(from), at(to)).catch(fail(`${from} could not be renamed to ${to}`));
    },
    remove: async (name) => {
      await fs().rm(at(name), { force: true }).catch(fail(`${name} could not be removed`));
    },
    list: () => list(root),
    space: async () => {
      const files = await list(root);
      const used = files.reduce((sum, { size }) => sum + size, 0);
      const free = freeBytes(root);
      return { used, quota: free === undefined ? undefined : used + free };
    },
    persist: async () => true,
    lock: (name, options, body) => lockFile(at(`${name}.lock`), options, body),
  };
}

/** What turns a failure of the system into an IoError. @param {string} what */
function fail(what) {
  return (/** @type {any} */ cause) => {
    throw new IoError(`${what} in the cache: ${cause?.message ?? cause}`, { cause });
  };
}

/** @param {any} cause @param {string} root @param {number} needed @param {string} name */
function writeError(cause, root, needed, name) {
  if (!FULL.has(cause?.code))
    return new IoError(`${name} could not be written in the cache: ${cause?.message ?? cause}`, {
      cause,
    });
  const available = freeBytes(root);
  return new QuotaError(
    `${needed} bytes more of ${name} do not fit on the disk of ${root}, which has ` +
      `${available ?? 'an unknown number of'} bytes left; free some, or set HALFBYTE_CACHE to a ` +
      'directory on another disk',
    { cause, needed, available },
  );
}

/** @param {string} root @returns {number | undefined} */
function freeBytes(root) {
  try {
    const { bavail, bsize } = syncFs().statfsSync(root);
    return bavail * bsize;
  } catch {
    return undefined; // some file systems do not say
  }
}

/** @param {string} root */
async function list(root) {
  const files = [];
  for (const name of await fs().readdir(root).catch(fail('the files could not be listed'))) {
    const stat = await fs().stat(paths().join(root, name)).catch(() => undefined);
    if (stat?.isFile()) files.push({ name, size: stat.size });
  }
  return files;
}

/**
 * @param {string} name
 * @param {string} path
 * @param {string} root
 * @param {{ create?: boolean, write?: boolean }} [options]
 * @returns {Promise<Place>}
 */
async function openPlace(name, path, root, { create = false, write = create } = {}) {
  const { O_CREAT, O_RDONLY, O_RDWR } = fs().constants;
  const flags = write ? O_RDWR | (create ? O_CREAT : 0) : O_RDONLY;
  const file = await fs()
    .open(path, flags, 0o644)
    .catch((cause) => {
      if (cause?.code === 'ENOENT') throw absent(name, cause);
      return fail(`${name} could not be opened`)(cause);
    });
  return {
    size: async () => (await file.stat()).size,
    read: async (offset, into) => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await file
          .read(into, done, into.length - done, offset + done)
          .catch(fail(`${name} could not be read at byte ${offset + done}`));
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    write: async (offset, bytes) => {
      try {
        for (let done = 0; done < bytes.length; )
          done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      } catch (cause) {
        throw writeError(cause, root, bytes.length, name);
      }
    },
    readSync: (offset, into) => {
      try {
        return readFully(file.fd, offset, into);
      } catch (cause) {
        return fail(`${name} could not be read at byte ${offset}`)(cause);
      }
    },
    writeSync: (offset, bytes) => {
      try {
        for (let done = 0; done < bytes.length; )
          done += syncFs().writeSync(file.fd, bytes, done, bytes.length - done, offset + done);
      } catch (cause) {
        throw writeError(cause, root, bytes.length, name);
      }
    },
    truncate: async (size) => {
      await file.truncate(size).catch(fail(`${name} could not be cut`));
    },
    flush: async () => {
      await file.datasync().catch(fail(`${name} could not be brought to the disk`));
    },
    close: async () => {
      await file.close().catch(fail(`${name} could not be closed`));
    },
  };
}

/**
 * Fills the buffer as far as the file goes.
 * @param {number} file
 * @param {number} offset
 * @param {Uint8Array} into
 */
export function readFully(file, offset, into) {
  let done = 0;
  for (let count = -1; count !== 0 && done < into.length; done += count)
    count = syncFs().readSync(file, into, done, into.length - done, offset + done);
  return done;
}

/** @param {string} name @param {string} path */
async function readText(name, path) {
  try {
    return await fs().readFile(path, 'utf8');
  } catch (cause) {
    if (/** @type {any} */ (cause)?.code === 'ENOENT') return undefined;
    return fail(`${name} could not be read`)(cause);
  }
}

/** @param {string} name @param {string} path @param {string} text @param {string} root */
async function writeText(name, path, text, root) {
  const beside = `${path}.${builtin('node:crypto').randomUUID().slice(0, 8)}.new`;
  try {
    await fs().writeFile(beside, text, { flush: true });
    await fs().rename(beside, path);
  } catch (cause) {
    await fs().rm(beside, { force: true }).catch(() => {});
    throw writeError(cause, root, text.length, name);
  }
}
