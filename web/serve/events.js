// Sends chunks as server-sent events.

/** @import { ServerResponse } from 'node:http' */

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'X-Accel-Buffering': 'no', // proxies are to pass each event on at once
};

/** A response that becomes a stream of events with the first that is sent. */
export class EventStream {
  #response;
  #headers;
  #signal;
  #stallMs;
  #beat;

  /**
   * @param {ServerResponse} response
   * @param {Record<string, string>} headers
   * @param {AbortSignal} signal tells that the client went away
   * @param {{ beatMs: number, stallMs: number }} times how often a comment shows that the connection
   *   lives; how long a client may take to read what was sent
   */
  constructor(response, headers, signal, { beatMs, stallMs }) {
    this.#response = response;
    this.#headers = { ...headers, ...HEADERS };
    this.#signal = signal;
    this.#stallMs = stallMs;
    this.#beat = setInterval(() => {
      if (!response.writableNeedDrain) this.#write(': still at it\n\n');
    }, beatMs);
    signal.addEventListener('abort', () => clearInterval(this.#beat), { once: true });
  }

  /** Sends an event once the client has read enough of those before it. @param {object} data */
  async send(data) {
    if (!this.#write(`data: ${JSON.stringify(data)}\n\n`)) await this.#drained();
  }

  end() {
    clearInterval(this.#beat);
    this.#write('data: [DONE]\n\n');
    this.#response.end();
  }

  /** Ends with an error, if there were events; else an ordinary answer is to tell it. @param {object} body */
  fail(body) {
    clearInterval(this.#beat);
    if (!this.#response.headersSent) return;
    this.#write(`data: ${JSON.stringify(body)}\n\n`);
    this.#response.end();
  }

  /** @param {string} text */
  #write(text) {
    if (!this.#response.headersSent) this.#response.writeHead(200, this.#headers);
    return this.#response.write(text);
  }

  #drained() {
    const response = this.#response;
    const signal = this.#signal;
    return new Promise((resolve) => {
      const timer = setTimeout(() => response.req.socket.destroy(), this.#stallMs);
      const done = () => {
        clearTimeout(timer);
        response.off('drain', done);
        signal.removeEventListener('abort', done);
        resolve(undefined);
      };
      response.on('drain', done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
