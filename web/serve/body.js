// Reads the JSON body of a request, as much as the server allows.
import { RequestError } from './errors.js';

/** @import { IncomingMessage } from 'node:http' */

/**
 * JSON is asked for by name: a page may send texts and forms to other servers without asking, but
 * not that.
 * @param {IncomingMessage} request
 * @param {number} most bytes
 * @returns {Promise<unknown>}
 */
export async function readJson(request, most) {
  const { headers } = request;
  if (!/^application\/json *(; *charset="?utf-8"? *)?$/i.test(headers['content-type'] ?? ''))
    throw new RequestError(415, 'the Content-Type must be application/json');
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new RequestError(415, 'the body must not be compressed');
  const tooLarge = () => new RequestError(413, `the body is larger than ${most} bytes`);
  if (Number(headers['content-length'] ?? 0) > most) throw tooLarge();
  const chunks = [];
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > most) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new RequestError(400, 'the body is not JSON in UTF-8', { code: 'invalid_json' });
  }
}
