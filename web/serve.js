// Speaks OpenAI's interface over HTTP, in Node. Meant for programs on the same machine: it listens on
// 127.0.0.1 unless told otherwise, and pages in a browser cannot use it.
import { lookup } from 'node:dns/promises';
import { createServer } from 'node:http';
import { ArgumentError, IoError } from './generated.js';
import { chat, complete, nameOf } from './openai/completions.js';
import { embed } from './openai/embeddings.js';
import { ChunkStream } from './openai/stream.js';
import { readJson } from './serve/body.js';
import { RequestError, answerTo } from './serve/errors.js';
import { EventStream } from './serve/events.js';
import { Gate } from './serve/gate.js';
import { Guard } from './serve/guard.js';
import { Keeper } from './serve/keeper.js';

/** @import { IncomingMessage, Server, ServerResponse } from 'node:http' */
/** @import { AddressInfo } from 'node:net' */
/** @import { Model } from './index.js' */
/** @import { Setting } from './openai/completions.js' */

/** What a request, and all requests together, may ask for. */
const LIMITS = {
  bodyBytes: 2 ** 20,
  n: 8,
  maxTokens: 4096,
  stop: 16,
  biases: 1024,
  inputs: 256,
  streams: 4, // requests that are answered at once
  queue: 32, // requests that wait
  connections: 64,
};

const TIMES = {
  headersMs: 10_000, // for a request's head to arrive
  requestMs: 30_000, // and all of it
  checkMs: 1000, // how often these two are looked at
  beatMs: 10_000,
  stallMs: 30_000,
};

const HEADERS = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };

/**
 * @typedef {object} ServeOptions
 * @property {string} [host] 127.0.0.1 unless given; others than this machine reach a server only with
 *   an `apiKey`
 * @property {number} [port] 8080 unless given; 0 takes a free one
 * @property {string} [apiKey] that requests must bear
 * @property {(error: unknown) => void} [onError] hears of failures that are not the request's
 * @property {Partial<typeof LIMITS>} [limits]
 * @property {Partial<typeof TIMES>} [times]
 */

/** @typedef {{ url: string, name: string, close: () => Promise<void> }} Serving */

/**
 * Starts a server; it is ready when the model is.
 * @param {() => Promise<Model>} open loads the model, anew if its engine breaks down; the server
 *   disposes of it
 * @param {ServeOptions} [options]
 * @returns {Promise<Serving>}
 */
export async function serve(open, options = {}) {
  const { host = '127.0.0.1', port = 8080, apiKey } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new ArgumentError(`port must be a whole number from 0 to 65535, not ${port}`);
  const address = await addressOf(host);
  const guard = new Guard(host, address, apiKey);
  const limits = { ...LIMITS, ...options.limits };
  for (const [name, value] of Object.entries(limits))
    if (!Number.isInteger(value) || value < (name === 'queue' ? 0 : 1))
      throw new ArgumentError(`the limit of ${name} must be a whole number, not ${value}`);
  const times = { ...TIMES, ...options.times };
  const keeper = new Keeper(open);
  const service = new Service(keeper, guard, limits, times, options.onError);
  const server = createServer(
    {
      headersTimeout: times.headersMs,
      requestTimeout: times.requestMs,
      connectionsCheckingInterval: times.checkMs,
      maxHeaderSize: 16384,
    },
    (request, response) => void service.answer(request, response),
  );
  server.maxConnections = limits.connections;
  const url = await listen(server, address, port);
  const close = async () => {
    await new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
    await keeper.close();
  };
  try {
    return { url, name: nameOf(await keeper.get(), undefined), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The name is looked up once, so that what is checked is what is listened on. @param {string} host */
async function addressOf(host) {
  try {
    if (host === '') throw new Error('it is empty');
    return (await lookup(host)).address;
  } catch (cause) {
    throw new ArgumentError(`the host '${host}' leads nowhere: ${cause}`, { cause });
  }
}

/** @param {Server} server @param {string} address @param {number} port @returns {Promise<string>} */
function listen(server, address, port) {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new IoError(`cannot listen on port ${port} of ${address}: ${cause.message}`, { cause })),
    );
    server.listen(port, address, () => {
      const at = /** @type {AddressInfo} */ (server.address());
      resolve(`http://${at.family === 'IPv6' ? `[${at.address}]` : at.address}:${at.port}`);
    });
  });
}

/** @typedef {(model: Model, body: unknown, request: { signal: AbortSignal }, setting: Setting) => Promise<any>} Method */

/** @type {Record<string, Method>} */
const METHODS = {
  '/v1/chat/completions': chat,
  '/v1/completions': complete,
  '/v1/embeddings': embed,
};
const MODELS = '/v1/models';

/** Answers requests. */
class Service {
  #keeper;
  #guard;
  #limits;
  #times;
  #onError;
  #gate;
  #created = Math.floor(Date.now() / 1000);

  /**
   * @param {Keeper} keeper
   * @param {Guard} guard
   * @param {typeof LIMITS} limits
   * @param {typeof TIMES} times
   * @param {ServeOptions['onError']} onError
   */
  constructor(keeper, guard, limits, times, onError = () => {}) {
    this.#keeper = keeper;
    this.#guard = guard;
    this.#limits = limits;
    this.#times = times;
    this.#onError = onError;
    this.#gate = new Gate(limits.streams, limits.queue);
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response */
  async answer(request, response) {
    response.on('error', () => {}); // 'close' follows
    try {
      this.#guard.check(request);
      await this.#route(request, response, goneSignal(request, response));
    } catch (error) {
      const { status, headers, body } = answerTo(error);
      if (status === 500) this.#onError(error);
      // What may be left of the request is not read.
      if (!response.headersSent) send(response, status, body, { ...headers, Connection: 'close' });
      else if (!response.writableEnded) response.destroy();
    }
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response @param {AbortSignal} signal */
  async #route(request, response, signal) {
    const path = (request.url ?? '').replace(/[?#].*$/s, '');
    if (Object.hasOwn(METHODS, path)) {
      allow(request, 'POST');
      const body = await readJson(request, this.#limits.bodyBytes);
      return this.#run(METHODS[path], body, response, signal);
    }
    if (path === MODELS) {
      allow(request, 'GET');
      return send(response, 200, { object: 'list', data: [await this.#describe()] });
    }
    if (path.startsWith(`${MODELS}/`)) {
      allow(request, 'GET');
      const model = await this.#describe();
      if (path === `${MODELS}/${encodeURIComponent(model.id)}`) return send(response, 200, model);
    }
    throw new RequestError(404, 'there is nothing under this path', { code: 'not_found' });
  }

  async #describe() {
    const id = nameOf(await this.#keeper.get(), undefined);
    return { id, object: 'model', created: this.#created, owned_by: 'halfbyte' };
  }

  /**
   * @param {Method} method
   * @param {unknown} body
   * @param {ServerResponse} response
   * @param {AbortSignal} signal
   */
  async #run(method, body, response, signal) {
    const streams = /** @type {any} */ (body)?.stream === true;
    const events = streams ? new EventStream(response, HEADERS, signal, this.#times) : undefined;
    const setting = { limits: this.#limits };
    const leave = await this.#gate.enter(signal);
    try {
      await this.#keeper.use(async (model) => {
        const result = await method(model, body, { signal }, setting);
        if (!events || !(result instanceof ChunkStream)) return send(response, 200, result);
        for await (const chunk of result) await events.send(chunk);
        if (!signal.aborted) events.end();
      });
    } catch (error) {
      events?.fail(answerTo(error).body);
      throw error;
    } finally {
      leave();
    }
  }
}

/**
 * Aborts when a response is done with, or its connection closes: one that waits behind another on the
 * same connection never hears of that itself.
 * @param {IncomingMessage} request
 * @param {ServerResponse} response
 */
function goneSignal({ socket }, response) {
  const gone = new AbortController();
  const leave = () => gone.abort();
  socket.once('close', leave);
  response.once('close', () => {
    socket.off('close', leave);
    leave();
  });
  return gone.signal;
}

/** @param {IncomingMessage} request @param {string} method */
function allow(request, method) {
  if (request.method !== method)
    throw new RequestError(405, `this path answers ${method} only`, { headers: { Allow: method } });
}

/** @param {ServerResponse} response @param {number} status @param {object} body @param {Record<string, string>} [headers] */
function send(response, status, body, headers = {}) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    ...HEADERS,
    ...headers,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}
