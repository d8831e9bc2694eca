// Tells what kind of source a caller gave.
import { isHubName, parseHubName } from './download/hub.js';
import { isSha256 } from './download/settings.js';
import { ArgumentError, IoError } from './generated.js';
import { number, seedOf, text } from './options.js';
import { isFromPackage } from './packaged.js';
import { isNode, pathOf } from './platform.js';

/** @import { Local } from './client.js' */
/** @import { AdapterSource } from './adapters.js' */
/** @import { LoadOptions, Lora, ModelSource } from './options.js' */
/** @import { Source } from './sources.js' */
/** @import { SyntheticModel } from './synthetic.js' */

const MOST_ADAPTERS = 16;
const MOST_SCALE = 1e9;

/**
 * Splits what the caller gave into descriptions for the worker, and the sources that stay on this
 * side.
 * @param {ModelSource | ModelSource[]} source a model, or all files of a split one in their order
 * @param {Pick<LoadOptions, 'sha256' | 'hub'>} [options]
 * @param {Local[]} [locals] to which those are added
 * @returns {Promise<{ sources: Source[], locals: Local[] }>}
 */
export async function resolveSources(source, { sha256, hub } = {}, locals = []) {
  const list = Array.isArray(source) ? source : [source];
  if (list.length === 0) throw new ArgumentError('the list of sources is empty');
  const hashes = hashList(sha256, list.length);
  const sources = [];
  for (const [i, each] of list.entries()) {
    const resolved = await resolveSource(each, locals, hub);
    if (hashes[i] !== undefined && resolved.kind !== 'download')
      throw new ArgumentError('sha256 is for models that are downloaded');
    sources.push(resolved.kind === 'download' ? { ...resolved, sha256: hashes[i] } : resolved);
  }
  return { sources, locals };
}

/**
 * The same for adapters.
 * @param {LoadOptions['lora']} lora
 * @param {Local[]} locals gets the sources that stay on this side
 * @param {Pick<LoadOptions, 'hub'>} options
 * @returns {Promise<AdapterSource[]>}
 */
export async function resolveAdapters(lora, locals, { hub }) {
  if (lora === undefined) return [];
  const list = Array.isArray(lora) ? lora : [lora];
  if (list.length > MOST_ADAPTERS)
    throw new ArgumentError(`${list.length} adapters; a model can have ${MOST_ADAPTERS} at most`);
  const resolved = [];
  for (const [i, each] of list.entries()) {
    const { source, scale = 1, sha256 } = isScaled(each) ? each : { source: each };
    const found = await resolveSources(source, { hub, sha256 }, locals);
    if (found.sources[0].kind === 'synthetic')
      throw new ArgumentError(`lora[${i}] is a shape, which makes models only`);
    resolved.push({
      source: found.sources[0],
      scale: number(`the scale of lora[${i}]`, scale, -MOST_SCALE, MOST_SCALE),
    });
  }
  return resolved;
}

/** @param {Lora} each @returns {each is Exclude<Lora, ModelSource>} */
function isScaled(each) {
  return typeof each === 'object' && each !== null && 'source' in each;
}

/** @param {unknown} sha256 @param {number} count @returns {(string | undefined)[]} */
function hashList(sha256, count) {
  if (sha256 === undefined) return [];
  const list = Array.isArray(sha256) ? sha256 : [sha256];
  if (list.length !== count)
    throw new ArgumentError(`sha256 has ${list.length} hashes for ${count} files`);
  return list.map((hash) => {
    if (hash === undefined) return hash;
    const digits = String(hash).toLowerCase();
    if (!isSha256(digits))
      throw new ArgumentError(`'${hash}' is no SHA-256 in 64 hexadecimal digits`);
    return digits;
  });
}

/**
 * @param {unknown} source
 * @param {Local[]} locals
 * @param {string} [hub]
 * @returns {Promise<Source>}
 */
async function resolveSource(source, locals, hub) {
  if (typeof source === 'string' && isHubName(source)) {
    parseHubName(source, hub); // so that a wrong name is an error of the caller's
    return { kind: 'download', name: source, cached: true };
  }
  if (typeof source === 'string' && isNode && !/^(https?|file|data|blob):/i.test(source))
    return { kind: 'path', path: source };
  if (typeof source === 'string' || source instanceof URL) return resolveUrl(source);
  if (isFileHandle(source)) return resolveBlob(await fileOf(source), locals);
  if (source instanceof Blob) return resolveBlob(source, locals);
  if (source instanceof ReadableStream)
    return addLocal(locals, 'the stream', { size: undefined, slice: streamSlices(source) });
  if (isSynthetic(source)) {
    const { shape, type = 'q4_0', seed = 1 } = source;
    return { kind: 'synthetic', shape, type: text('type', type), seed: seedOf(seed) };
  }
  const bytes =
    source instanceof ArrayBuffer ||
    (typeof SharedArrayBuffer === 'function' && source instanceof SharedArrayBuffer)
      ? new Uint8Array(source)
      : ArrayBuffer.isView(source)
        ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
        : undefined;
  if (!bytes)
    throw new ArgumentError(
      'a model is loaded from a URL, a name on a hub, a path, a File or Blob, a file handle, a ' +
        'stream, an ArrayBuffer, or made from a shape',
    );
  return addLocal(locals, 'the buffer', {
    size: bytes.length,
    slice: async (offset, length) => bytes.slice(offset, offset + length),
  });
}

/** @param {unknown} source @returns {source is SyntheticModel} */
function isSynthetic(source) {
  return typeof (/** @type {any} */ (source)?.shape) === 'string';
}

/** @param {unknown} source @returns {source is FileSystemFileHandle} */
function isFileHandle(source) {
  return typeof (/** @type {any} */ (source)?.getFile) === 'function';
}

/** @param {FileSystemFileHandle} handle */
async function fileOf(handle) {
  try {
    return await handle.getFile();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new IoError(`the file ${handle.name} could not be opened: ${reason}`, { cause });
  }
}

/** A file is read in place, slice by slice. @param {Blob} blob @param {Local[]} locals @returns {Source} */
function resolveBlob(blob, locals) {
  const name = /** @type {Partial<File>} */ (blob).name || 'the Blob';
  if (!isNode) return { kind: 'blob', blob, name };
  return addLocal(locals, name, {
    size: blob.size,
    slice: async (offset, length) =>
      new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  });
}

/**
 * A stream in slices as they are asked for, one behind the other; an empty one is the end.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {Local['slice']}
 */
function streamSlices(stream) {
  /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
  let reader;
  /** @type {Uint8Array} */
  let rest = new Uint8Array(0);
  return async (_, length) => {
    reader ??= stream.getReader();
    while (rest.length === 0) {
      const { done, value } = await reader.read();
      if (done) return rest;
      if (!ArrayBuffer.isView(value)) throw new TypeError('a stream of a model gives bytes');
      rest = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
    const slice = rest.slice(0, length);
    rest = rest.subarray(slice.length);
    return slice;
  };
}

/** @param {Local[]} locals @param {string} name @param {Local} local @returns {Source} */
function addLocal(locals, name, local) {
  return { kind: 'pull', number: locals.push(local) - 1, size: local.size, name };
}

/** @param {string | URL} source @returns {Source} */
function resolveUrl(source) {
  /** @type {URL} */
  let url;
  try {
    url = new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (cause) {
    throw new ArgumentError(`'${source}' is not a URL`, { cause });
  }
  if (url.protocol === 'file:' && isNode) return { kind: 'path', path: pathOf(url) };
  if (!/^https?:$/.test(url.protocol)) return { kind: 'url', url: url.href };
  return { kind: 'download', name: url.href, cached: !isFromPackage(url.href) };
}
