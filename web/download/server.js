// A file on a server: remembers what is known of it and where redirects led, and gives its bytes
// from any place on through whatever the network does.
import { NetworkError } from '../error.js';
import { HiddenError, ask } from './http.js';
import { Backoff } from './retry.js';

/** @import { Answer, Question, Remote } from './http.js' */
/** @import { OnRetry, Patience } from './retry.js' */

/** What a server says when a signed address has run out. */
const EXPIRED = new Set([400, 401, 403, 404, 410]);

export class Server {
  /** @type {Remote} */ known = {};
  /** Whether it ever answered. */ answered = false;
  /** Whether it gives ranges, as far as is known. */
  ranges = true;
  /** Where the last redirect led. @type {string | undefined} */ #direct;
  #headers;

  /**
   * @param {string} url
   * @param {{ headers: Record<string, string>, signal: AbortSignal, patience: Patience,
   *   onRetry?: OnRetry }} options
   */
  constructor(url, { headers, signal, patience, onRetry }) {
    this.url = url;
    this.signal = signal;
    this.patience = patience;
    this.onRetry = onRetry;
    this.#headers = headers;
  }

  /** One attempt at the bytes from..to. @param {number} from @param {number} [to] */
  async ask(from, to) {
    const { signal, patience, known } = this;
    const question = { from, to: to ?? known.size, known, signal, patience };
    const answer =
      (await this.#askDirectly(question)) ??
      (await this.#askAtFirst({ ...question, headers: this.#headers }));
    this.answered = true;
    if (answer.url !== this.url) this.#direct = answer.url;
    const { size, etag, modified } = answer.remote;
    this.known = {
      size: known.size ?? size,
      etag: known.etag ?? etag,
      modified: known.modified ?? modified,
    };
    this.ranges = answer.ranged;
    return answer;
  }

  /**
   * A page may not be told which range it got, nor how long the file is; of a whole file it may be
   * told the length, with which ranges can be checked from then on.
   * @param {Question} question
   */
  async #askAtFirst(question) {
    try {
      return await ask(this.url, question);
    } catch (error) {
      if (!(error instanceof HiddenError)) throw error;
      return ask(this.url, { ...question, whole: true });
    }
  }

  /**
   * Asks where the last redirect led, without the caller's headers, which are not for that host.
   * @param {Omit<Question, 'headers'>} question
   */
  async #askDirectly(question) {
    if (!this.#direct) return undefined;
    try {
      return await ask(this.#direct, { ...question, headers: {} });
    } catch (error) {
      if (!(error instanceof NetworkError) || !EXPIRED.has(error.status ?? 0)) throw error;
      this.#direct = undefined;
      return undefined;
    }
  }

  /** @param {number} from @param {number} [to] */
  stream(from, to) {
    return new Stream(this, from, to);
  }
}

/** The bytes of a file from one place to another, in order, over as many requests as it takes. */
export class Stream {
  /** Where the next bytes stand. */ at;
  #server;
  #to;
  #backoff;
  /** Bytes of the answer that we have already. */ #skip = 0;
  /** @type {Answer | undefined} */ #answer;

  /** @param {Server} server @param {number} from @param {number} [to] the file's end unless given */
  constructor(server, from, to) {
    this.at = from;
    this.#server = server;
    this.#to = to;
    this.#backoff = new Backoff(server.patience, server.signal, server.onRetry);
  }

  /** A server without ranges gives everything, so that everything may be taken at once. */
  get #end() {
    const size = this.#server.known.size ?? Infinity;
    return this.#answer?.ranged === false ? size : Math.min(this.#to ?? size, size);
  }

  /** Makes sure that an answer is there, so that what it says about the file is known. */
  async open() {
    while (!this.#answer)
      try {
        this.#answer = await this.#server.ask(this.at, this.#to);
        this.#skip = this.#answer.ranged ? 0 : this.at;
      } catch (error) {
        if (!(await this.#backoff.goesOn(error, this.#server.answered))) throw error;
      }
  }

  /** The next bytes; undefined at the end. @returns {Promise<Uint8Array | undefined>} */
  async next() {
    while (this.at < this.#end) {
      await this.open();
      try {
        const bytes = await this.#read();
        if (bytes === undefined) return undefined;
        if (bytes.length === 0) continue;
        this.at += bytes.length;
        this.#backoff.advanced();
        return bytes;
      } catch (error) {
        this.close();
        if (!(await this.#backoff.goesOn(error))) throw error;
      }
    }
    this.#leave();
    return undefined;
  }

  /** Lets an answer come to its end, so that its connection can be used again. */
  #leave() {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer?.ranged) void answer.read().then(answer.close, () => {});
    else answer?.close();
  }

  async #read() {
    const piece = await /** @type {Answer} */ (this.#answer).read();
    if (!piece) {
      const { url, known } = this.#server;
      if (this.#end === Infinity) return undefined;
      throw new NetworkError(`${url} broke off at byte ${this.at} of ${known.size}`, {
        offset: this.at,
      });
    }
    const skipped = Math.min(this.#skip, piece.length);
    this.#skip -= skipped;
    return piece.subarray(skipped, skipped + Math.min(piece.length, this.#end - this.at));
  }

  close() {
    this.#answer?.close();
    this.#answer = undefined;
  }
}
