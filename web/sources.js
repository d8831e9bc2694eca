// Where the bytes of a model come from, as readers that fill a buffer given to them. Nothing is
// ever held whole: a reader keeps at most one chunk of the network's.
import { NetworkError } from './error.js';
import { ArgumentError, IoError } from './generated.js';
import { openFile } from './platform.js';
import { openSynthetic } from './synthetic.js';

/**
 * A source as it travels to the engine's worker. `pull` sources stay with the caller, who is asked
 * for their bytes slice by slice.
 * @typedef {{ kind: 'url', url: string } | { kind: 'path', path: string } |
 *   { kind: 'blob', blob: Blob, name: string } |
 *   { kind: 'pull', number: number, size: number, name: string } |
 *   { kind: 'synthetic', shape: string, type: string, seed: bigint }} Source
 */

/**
 * @typedef {object} Reader
 * @property {number | undefined} size in bytes, if it is known
 * @property {(into: () => Uint8Array) => Promise<number>} read fills the start of the buffer and
 *   gives the number of bytes, 0 at the end; `into` is asked for the buffer when bytes are there
 * @property {() => Promise<void>} close
 * @property {number} [makingSeconds] how long it took so far to make bytes that come from nowhere
 */

/** @typedef {(number: number, offset: number, length: number) => Promise<Uint8Array>} Pull */

/**
 * @param {Source} source
 * @param {Pull} pull
 * @returns {Promise<Reader>}
 */
export async function openSource(source, pull) {
  switch (source.kind) {
    case 'url':
      return openUrl(source.url);
    case 'path':
      return openPath(source.path);
    case 'blob':
      return named(source.name, {
        ...streamReader(source.blob.stream().getReader()),
        size: source.blob.size,
      });
    case 'pull':
      return named(source.name, pullReader(source.number, source.size, pull));
    case 'synthetic':
      return openSynthetic(source);
  }
}

/** @param {string} url @returns {Promise<Reader>} */
async function openUrl(url) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new NetworkError(`${url} could not be fetched: ${reason(cause)}`, { cause });
  }
  if (!response.ok)
    throw new NetworkError(`${url} could not be fetched: HTTP status ${response.status}`);
  if (!response.body) throw new NetworkError(`${url} came without contents`);
  // The length of what travels; of what arrives only if nothing is unpacked on the way.
  const length = response.headers.get('Content-Length');
  const packed = response.headers.get('Content-Encoding');
  const size = length && /^\d+$/.test(length) && !packed ? Number(length) : undefined;
  const reader = streamReader(response.body.getReader());
  return {
    size,
    read: async (into) => {
      try {
        return await reader.read(into);
      } catch (cause) {
        throw new NetworkError(`the transfer of ${url} broke off: ${reason(cause)}`, { cause });
      }
    },
    close: reader.close,
  };
}

/** @param {ReadableStreamDefaultReader<Uint8Array>} stream @returns {Reader} */
function streamReader(stream) {
  /** @type {Uint8Array} */
  let rest = new Uint8Array(0);
  return {
    size: undefined,
    read: async (into) => {
      while (rest.length === 0) {
        const { done, value } = await stream.read();
        if (done) return 0;
        rest = value;
      }
      const buffer = into();
      const count = Math.min(rest.length, buffer.length);
      buffer.set(rest.subarray(0, count));
      rest = rest.subarray(count);
      return count;
    },
    close: async () => {
      await stream.cancel().catch(() => {});
    },
  };
}

/** @param {string} path @returns {Promise<Reader>} */
async function openPath(path) {
  try {
    const file = await openFile(path);
    return named(path, {
      size: file.size,
      read: (into) => file.read(into()),
      close: file.close,
    });
  } catch (cause) {
    throw new IoError(`${path} could not be opened: ${reason(cause)}`, { cause });
  }
}

/**
 * A reader whose failures are IoErrors that say what could not be read, and where.
 * @param {string} name
 * @param {Reader} reader
 * @returns {Reader}
 */
function named(name, { size, read, close }) {
  let offset = 0;
  return {
    size,
    read: async (into) => {
      try {
        const count = await read(into);
        offset += count;
        return count;
      } catch (cause) {
        const message = `${name} could not be read at byte ${offset}: ${reason(cause)}`;
        throw new IoError(message, { cause, offset });
      }
    },
    close,
  };
}

/** @param {number} number @param {number} size @param {Pull} pull @returns {Reader} */
function pullReader(number, size, pull) {
  let offset = 0;
  return {
    size,
    read: async (into) => {
      if (offset === size) return 0;
      const chunk = await pull(number, offset, Math.min(size - offset, into().length));
      into().set(chunk);
      offset += chunk.length;
      return chunk.length;
    },
    close: async () => {},
  };
}

/**
 * The source of shard `index` (from 0) of `count`, by the name of the first:
 * NAME-00001-of-0000N.gguf.
 * @param {Source} first
 * @param {number} index
 * @param {number} count
 * @returns {Source}
 */
export function shardOf(first, index, count) {
  const five = (/** @type {number} */ n) => String(n).padStart(5, '0');
  const from = `-${five(1)}-of-${five(count)}.gguf`;
  const to = `-${five(index + 1)}-of-${five(count)}.gguf`;
  const name = first.kind === 'url' ? first.url : first.kind === 'path' ? first.path : '';
  if (!name.includes(from))
    throw new ArgumentError(
      `the model is split into ${count} files: give a list of them all, or the first one by its ` +
        `name (…${from})`,
    );
  const next = name.replace(from, to);
  return first.kind === 'url' ? { kind: 'url', url: next } : { kind: 'path', path: next };
}

/** @param {unknown} error */
function reason(error) {
  if (!(error instanceof Error)) return String(error);
  // fetch of Node hides the reason in the cause.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
