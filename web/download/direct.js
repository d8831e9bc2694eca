// A download that goes to its reader alone.
import { IntegrityError, NetworkError } from '../error.js';
import { Sha256 } from '../hash.js';
import { ChangedError } from './http.js';
import { Restart } from './restart.js';

/** @import { Server, Stream } from './server.js' */
/** @import { Reader } from '../sources.js' */

const MOST_CHANGES = 4; // of a file while it is read

/**
 * @typedef {object} DirectOptions
 * @property {number} [from] where the reading goes on
 * @property {number} [window] bytes to ask for at a time, of someone who will not read everything
 * @property {string} [sha256] that the whole file must have
 * @property {Sha256} [hash] of the bytes before `from`
 * @property {Stream} [begun] that begins at `from`
 */

/**
 * @param {Server} server
 * @param {DirectOptions} [options]
 * @returns {Promise<Reader>}
 */
export async function openDirect(server, { from = 0, window, sha256, hash, begun } = {}) {
  const end = (/** @type {number} */ at) => (window ? at + window : undefined);
  let stream = begun ?? server.stream(from, end(from));
  await stream.open();
  const sum = sha256 === undefined ? undefined : (hash ?? (await Sha256.create()));
  /** @type {Uint8Array} */
  let rest = new Uint8Array(0);
  let offset = from;

  /** Whether more bytes are there. */
  async function more() {
    const { size } = server.known;
    while (rest.length === 0) {
      const bytes = await stream.next();
      if (bytes) rest = bytes;
      else if (window && size !== undefined && offset < size)
        stream = server.stream(offset, end(offset));
      else return false;
    }
    return true;
  }

  function verify() {
    const actual = sum?.digest();
    if (actual !== sha256) throw mismatch(server.url, String(sha256), String(actual));
  }

  let ended = offset === server.known.size;
  return {
    size: server.known.size,
    phase: 'download',
    read: async (into) => {
      if (ended) return 0;
      try {
        if (await more()) {
          const buffer = into();
          const count = Math.min(rest.length, buffer.length);
          buffer.set(rest.subarray(0, count));
          sum?.update(rest.subarray(0, count));
          rest = rest.subarray(count);
          offset += count;
          ended = offset === server.known.size;
          if (ended) verify();
          return count;
        }
        ended = true;
        verify();
        return 0;
      } catch (error) {
        throw restartIf(error);
      }
    },
    close: async () => stream.close(),
  };
}

/**
 * @param {string} url
 * @param {string} expected
 * @param {string} actual
 */
export function mismatch(url, expected, actual) {
  return new IntegrityError(
    `${url} has SHA-256 ${actual} and not ${expected}; look whether the expected one is of another ` +
      'version of the file',
    { expected, actual },
  );
}

/** The Restart that an error calls for, or the error. @param {unknown} error */
export function restartIf(error) {
  if (error instanceof IntegrityError) return new Restart(error, 1);
  if (error instanceof ChangedError)
    return new Restart(
      new NetworkError(`${error.message}, again and again while it was fetched; try later`),
      MOST_CHANGES,
    );
  return error;
}
