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
  #stallMs;
  #beat;

  /**
   * @param {ServerResponse} response
   * @param {Record<string, string>} headers
   * @param {{ beatMs: number, stallMs: number }} times how often a comment shows that the connection
   *   lives; how long a client may take to read what was sent
   */
  constructor(response, headers, { beatMs, stallMs }) {
    this.#response = response;
    this.#headers = { ...headers, ...HEADERS };
    this.#stallMs = stallMs;
    this.#beat = setInterval(() => {
      if (!response.writableNeedDrain) this.#write(': still at it\n\n');
    }, beatMs);
    response.once('close', () => clearInterval(this.#beat));
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
    return new Promise((resolve) => {
      const timer = setTimeout(() => response.destroy(), this.#stallMs);
      const done = () => {
        clearTimeout(timer);
        response.off('drain', done).off('close', done);
        resolve(undefined);
      };
      response.on('drain', done).on('close', done);
      if (response.destroyed) done();
    });
  }
}
