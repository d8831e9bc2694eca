// Where a caller wants a result: in a Blob, a stream, a file.
import { ArgumentError, IoError } from '../generated.js';
import { builtin, isNode, pathOf } from '../platform.js';

/**
 * @typedef {object} Sink
 * @property {(chunk: Uint8Array) => Promise<void>} write
 * @property {() => Promise<Blob | undefined>} end the file is complete
 * @property {(reason: unknown) => Promise<void>} abort leaves nothing
 */

/** @param {unknown} to as the caller gave it @returns {Promise<Sink>} */
export async function openSink(to) {
  if (to === undefined) return blobSink();
  if (to instanceof WritableStream) return streamSink(to);
  if (typeof (/** @type {any} */ (to)?.createWritable) === 'function')
    return streamSink(await /** @type {FileSystemFileHandle} */ (to).createWritable());
  const path = to instanceof URL && to.protocol === 'file:' && isNode ? pathOf(to) : to;
  if (typeof path !== 'string' || path === '' || !isNode)
    throw new ArgumentError(
      '`to` is a WritableStream, a file handle or, in Node, a path; without it the result is a Blob',
    );
  return fileSink(path);
}

/** @returns {Sink} */
function blobSink() {
  /** Browsers keep large Blobs on their disk. @type {Blob[]} */
  const parts = [];
  return {
    write: async (chunk) => void parts.push(new Blob([/** @type {BlobPart} */ (chunk)])),
    end: async () => new Blob(parts, { type: 'application/octet-stream' }),
    abort: async () => {},
  };
}

/** @param {WritableStream<Uint8Array>} stream @returns {Sink} */
function streamSink(stream) {
  const writer = stream.getWriter();
  return {
    write: async (chunk) => {
      await writer.ready;
      await writer.write(chunk);
    },
    end: async () => void (await writer.close()),
    abort: async (reason) => void (await writer.abort(reason).catch(() => {})),
  };
}

/** @param {string} path @returns {Promise<Sink>} */
async function fileSink(path) {
  const fs = /** @type {typeof import('node:fs/promises')} */ (builtin('node:fs/promises'));
  const beside = `${path}.${builtin('node:crypto').randomUUID().slice(0, 8)}.new`;
  const fail = (/** @type {any} */ cause) => {
    throw new IoError(`${path} could not be written: ${cause.message}`, { cause });
  };
  const file = await fs.open(beside, 'wx').catch(fail);
  const remove = async () => {
    await file.close().catch(() => {});
    await fs.rm(beside, { force: true });
  };
  return {
    write: (chunk) => file.writeFile(chunk).catch(fail),
    end: async () => {
      try {
        await file.sync();
        await file.close();
        await fs.rename(beside, path);
      } catch (cause) {
        await remove();
        return fail(cause);
      }
      return undefined;
    },
    abort: remove,
  };
}
