// Who may call the server: a page in a browser must not, wherever a name may lead it.
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { ArgumentError } from '../generated.js';
import { RequestError } from './errors.js';

/** @import { IncomingMessage } from 'node:http' */

const KEY_LENGTH = 16; // the least on an address that others reach

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** @param {string} address */
export const isLoopback = (address) =>
  loopback.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** Checks the heads of requests before anything of their bodies is read. */
export class Guard {
  #names;
  #open;
  /** @type {Buffer | undefined} */ #key;

  /**
   * @param {string} host the name or address that the server was told to listen on
   * @param {string} address where it leads
   * @param {string} [apiKey]
   */
  constructor(host, address, apiKey) {
    this.#open = !isLoopback(address);
    if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey))
      throw new ArgumentError('the API key must be of printable ASCII characters without spaces');
    if (this.#open && (apiKey?.length ?? 0) < KEY_LENGTH)
      throw new ArgumentError(
        `on ${host}, which others reach, the server needs an API key of ${KEY_LENGTH} characters ` +
          'or more; on 127.0.0.1 it needs none',
      );
    this.#key = apiKey === undefined ? undefined : digest(apiKey);
    this.#names = new Set(['localhost', host.toLowerCase()]);
  }

  /** Throws unless the request may be answered. @param {IncomingMessage} request */
  check({ headers }) {
    if (!this.#knows(headers.host))
      throw new RequestError(403, 'the Host header names another server than this one', {
        code: 'host_not_allowed',
      });
    if (headers.origin !== undefined)
      throw new RequestError(403, 'pages in a browser may not call this server', {
        code: 'origin_not_allowed',
      });
    if (this.#key && !timingSafeEqual(this.#key, digest(bearer(headers.authorization))))
      throw new RequestError(401, 'the API key is missing or wrong', {
        code: 'invalid_api_key',
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
  }

  /**
   * A page that had its own name point here (DNS rebinding) calls by that name. A number is no name:
   * where the server listens for others, any of its addresses will do.
   * @param {string | undefined} header
   */
  #knows(header) {
    const match = /^(\[[\da-f:.]+\]|[^\s:/?#@[\]]+)(?::\d{1,5})?$/i.exec(header ?? '');
    if (!match) return false;
    const name = match[1].toLowerCase().replace(/^\[|\]$/g, '');
    if (this.#names.has(name)) return true;
    return isIP(name) !== 0 && (this.#open || isLoopback(name));
  }
}

/** @param {string | undefined} header */
const bearer = (header) => /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? '';

/** Of equal length for every key, so that comparing takes as long for all. @param {string} key */
const digest = (key) => createHash('sha256').update(key).digest();
