// Where the bytes of a model come from, as readers that fill a buffer given to them. Nothing is
// ever held whole: a reader keeps at most one chunk of the network's.
import { openStore } from './cache/store.js';
import { openDownload } from './download/download.js';
import { downloadSize } from './download/size.js';
import { NetworkError } from './error.js';
import { ArgumentError, IoError } from './generated.js';
import { fileSize, openFile } from './platform.js';
import { openKept } from './quantize/kept.js';
import { openSynthetic } from './synthetic.js';

/** @import { OnRetry, Patience } from './download/retry.js' */
/** @import { LoadProgress } from './progress.js' */

/**
 * A source as it travels to the engine's worker. `pull` sources stay with the caller, who is asked
 * for their bytes slice by slice.
 * @typedef {{ kind: 'url', url: string } |
 *   { kind: 'download', name: string, cached: boolean, sha256?: string } |
 *   { kind: 'path', path: string } | { kind: 'blob', blob: Blob, name: string } |
 *   { kind: 'pull', number: number, size: number | undefined, name: string } |
 *   { kind: 'synthetic', shape: string, type: string, seed: bigint } |
 *   { kind: 'kept', identity: string }} Source
 * `url` is what needs no network, such as `data:`; `download` a URL of a server or a hub's name;
 * `kept` what was quantized and lies in the cache
 */

/**
 * @typedef {object} Reader
 * @property {number | undefined} size in bytes, if it is known
 * @property {(into: () => Uint8Array) => Promise<number>} read fills the start of the buffer and
 *   gives the number of bytes, 0 at the end; `into` is asked for the buffer when bytes are there
 * @property {() => Promise<void>} close
 * @property {number} [makingSeconds] how long it took so far to make bytes that come from nowhere
 * @property {LoadProgress['phase']} [phase] where the bytes come from; 'load' unless given
 * @property {number} [received] bytes that are there, read or not
 * @property {string} [notKept] why it was not kept in the cache, where it was to be
 * @property {boolean} [entire] whether it must be read to its end
 * @property {(error: unknown) => Promise<unknown>} [blame] is told what its bytes led to, before or
 *   after `close`, and gives the error to throw
 */

/** @typedef {(number: number, offset: number, length: number) => Promise<Uint8Array>} Pull */

/**
 * How files are fetched and kept, as the caller wants it.
 * @typedef {object} DownloadSettings
 * @property {boolean | string} [cache]
 * @property {Record<string, string>} [headers]
 * @property {string} [hub]
 * @property {Patience} [patience]
 */

/**
 * @typedef {object} Surroundings
 * @property {Pull} pull
 * @property {boolean} [headerOnly] nothing but the header will be read
 * @property {DownloadSettings} [settings]
 * @property {(phase: LoadProgress['phase']) => void} [onState]
 * @property {OnRetry} [onRetry]
 */

/**
 * @param {Source} source
 * @param {Surroundings} surroundings
 * @returns {Promise<Reader>}
 */
export async function openSource(source, surroundings) {
  switch (source.kind) {
    case 'url':
      return openUrl(source.url);
    case 'download':
      return openServer(source, surroundings);
    case 'path':
      return openPath(source.path);
    case 'blob':
      return named(source.name, {
        ...streamReader(source.blob.stream().getReader()),
        size: source.blob.size,
      });
    case 'pull':
      return named(source.name, pullReader(source.number, source.size, surroundings.pull));
    case 'synthetic':
      return openSynthetic(source);
    case 'kept':
      return openKept(source.identity, surroundings.settings ?? {});
  }
}

/**
 * @param {{ name: string, cached: boolean, sha256?: string }} source
 * @param {Surroundings} surroundings
 */
async function openServer(
  { name, cached, sha256 },
  { settings = {}, headerOnly, onState, onRetry },
) {
  const { cache, ...how } = settings;
  const { wanted, store } = await storeFor(cached, cache);
  // In memory it would only lie there twice.
  const kept = store?.kind === 'memory' ? undefined : store;
  const strict = cache !== undefined;
  if (strict && wanted && !kept)
    throw new IoError(`nothing can be kept here: ${store?.reason}; leave out \`cache\``);
  const notKept = kept ? undefined : store?.reason;
  const own = { store: kept, notKept, strict, sha256, headerOnly, onState, onRetry };
  return openDownload(name, { ...how, ...own });
}

/** @param {boolean} cached whether it is kept unless said otherwise @param {boolean | string} [cache] */
export async function storeFor(cached, cache) {
  const wanted = cache === undefined ? cached : cache !== false;
  const path = typeof cache === 'string' ? cache : undefined;
  return { wanted, store: wanted ? await openStore({ path }) : undefined };
}

/**
 * How large a file is, for the price of one request at most.
 * @param {Source} source
 * @param {Surroundings & { signal: AbortSignal }} surroundings
 * @returns {Promise<number | undefined>} undefined if that is not told
 */
export async function sizeOf(source, { settings = {}, signal }) {
  switch (source.kind) {
    case 'download': {
      const { cache, ...how } = settings;
      const { store } = await storeFor(source.cached, cache);
      return downloadSize(source.name, { ...how, store, signal });
    }
    case 'path':
      return fileSize(source.path);
    case 'blob':
      return source.blob.size;
    case 'pull':
      return source.size;
    default:
      return undefined;
  }
}

/** @param {string} url @returns {Promise<Reader>} */
async function openUrl(url) {
  try {
    const { body } = await fetch(url);
    if (!body) throw new Error('it came without contents');
    return named(url, streamReader(body.getReader()));
  } catch (cause) {
    throw new NetworkError(`${url} could not be fetched: ${reason(cause)}`, { cause });
  }
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

/**
 * @param {number} number
 * @param {number | undefined} size
 * @param {Pull} pull gives no bytes at the end of what has no known size
 * @returns {Reader}
 */
function pullReader(number, size, pull) {
  let offset = 0;
  return {
    size,
    read: async (into) => {
      const rest = (size ?? Infinity) - offset;
      if (rest === 0) return 0;
      const chunk = await pull(number, offset, Math.min(rest, into().length));
      into().set(chunk);
      offset += chunk.length;
      return chunk.length;
    },
    close: async () => {},
  };
}

/**
 * How many files a model has by the name of its first one, until its header tells.
 * @param {Source} first
 */
export function splitCount(first) {
  return Math.max(1, Number(/-00001-of-(\d{5})\.gguf/.exec(nameOf(first))?.[1] ?? 1));
}

/** @param {Source} source */
function nameOf(source) {
  return source.kind === 'download' ? source.name : source.kind === 'path' ? source.path : '';
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
  const name = nameOf(first);
  if (!name.includes(from))
    throw new ArgumentError(
      `the model is split into ${count} files: give a list of them all, or the first one by its ` +
        `name (…${from})`,
    );
  const next = name.replace(from, to);
  if (first.kind === 'download') return { ...first, name: next, sha256: undefined };
  return { kind: 'path', path: next };
}

/** @param {unknown} error */
function reason(error) {
  if (!(error instanceof Error)) return String(error);
  // fetch of Node hides the reason in the cause.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
