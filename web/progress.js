// How far a load has come and how fast it goes.

/** @import { Emit } from './engine.js' */
/** @import { Reader } from './sources.js' */

const INTERVAL = 50; // ms between two reports: at most 20 a second
const SILENCE = 500; // ms after which the same is told again, so that a page sees that it goes on
const WINDOW = 5000; // ms over which the speed is measured
const SHORTEST = 200; // ms without which a speed means nothing

/**
 * How far loading is.
 * @typedef {object} LoadProgress
 * @property {'wait' | 'download' | 'load' | 'measure' | 'quantize'} phase whether another tab or
 *   process is waited for that fetches the same file, bytes come from the network, or from this
 *   device; with `quantize`, also whether matrices are measured, or the model is quantized
 * @property {number} loaded bytes so far; never fewer than before, but that quantizing, and loading
 *   its result, each begin anew
 * @property {number | undefined} total bytes of all files, once it is known
 * @property {number | undefined} bytesPerSecond over the last seconds, once it is known
 * @property {number | undefined} secondsLeft at that speed, if `total` is known
 * @property {number | undefined} retryInSeconds until a server is asked again, while a connection
 *   that failed waits for that; others may go on meanwhile
 */

export class Progress {
  #emit;
  /** @type {LoadProgress['phase']} */ #phase = 'load';
  #loaded = 0;
  /** Bytes of the files before the current one. */ #before = 0;
  #current = 0;
  /** The current file. @type {Pick<Reader, 'received'> | undefined} */ #reader;
  /** Of each file, as far as they are known. @type {(number | undefined)[]} */ #sizes = [];
  /** How many files there are, as far as is known. */ #count = 1;
  #reported = -Infinity;
  /** Where the load was at some times. @type {{ time: number, loaded: number }[]} */ #marks = [];
  /** When those that failed ask again. @type {Set<{ until: number }>} */ #waits = new Set();
  /** @type {ReturnType<typeof setInterval> | undefined} */ #timer;

  /** @param {Emit} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** Everything begins anew; what was reported stays. */
  restart() {
    this.#before = this.#current = 0;
    this.#marks = [];
  }

  /** @param {LoadProgress['phase']} phase */
  enter(phase) {
    this.#keepTelling();
    if (phase === this.#phase) return;
    this.#phase = phase;
    if (phase === 'wait') this.#report(performance.now());
  }

  /** @param {number} count of the files that the model has */
  expect(count) {
    this.#count = count;
  }

  /** What is learned of a file before it begins. @param {number} index @param {number} size */
  learn(index, size) {
    this.#sizes[index] ??= size;
  }

  /** A file begins. @param {number} index @param {Reader} reader */
  begin(index, reader) {
    this.#before += this.#current;
    this.#current = 0;
    this.#reader = reader;
    this.#sizes[index] = reader.size;
    this.#keepTelling();
  }

  /** The current file begins anew. @param {Reader} reader */
  again(reader) {
    this.#current = 0;
    this.#reader = reader;
    this.#marks = [];
  }

  /** A connection failed. @param {number} until when it asks again @returns {() => void} ends that */
  wait(until) {
    const wait = { until };
    this.#waits.add(wait);
    this.#tell();
    return () => void this.#waits.delete(wait);
  }

  /** @param {number} bytes that were taken @param {Reader} reader */
  advance(bytes, { phase = 'load' }) {
    this.#phase = phase;
    this.#current += bytes;
    this.#tell();
  }

  /** All is there. */
  end() {
    this.#waits.clear();
    this.#reader = undefined;
    this.#report(performance.now(), Math.max(this.#loaded, this.#before + this.#current));
  }

  /** Nothing more is told. */
  close() {
    clearInterval(this.#timer);
  }

  /** Speaks even while nothing comes. */
  #keepTelling() {
    this.#timer ??= setInterval(() => this.#tell(), SILENCE);
  }

  #tell() {
    const now = performance.now();
    if (now - this.#reported >= INTERVAL) this.#report(now);
  }

  /** @param {number} now @param {number} [total] */
  #report(now, total = this.#total()) {
    this.#reported = now;
    const sure = this.#before + Math.max(this.#current, this.#reader?.received ?? 0);
    const loaded = (this.#loaded = Math.max(this.#loaded, sure));
    if (total !== undefined && total < loaded) total = undefined; // somebody was wrong
    const bytesPerSecond = this.#speed(now);
    const secondsLeft =
      total !== undefined && bytesPerSecond ? (total - loaded) / bytesPerSecond : undefined;
    const retryInSeconds = this.#retryInSeconds(now);
    this.#emit({ phase: this.#phase, loaded, total, bytesPerSecond, secondsLeft, retryInSeconds });
  }

  /** @returns {number | undefined} */
  #total() {
    let total = 0;
    for (let i = 0; i < this.#count; i++) {
      const size = this.#sizes[i];
      if (size === undefined) return undefined;
      total += size;
    }
    return total;
  }

  /** @param {number} now */
  #retryInSeconds(now) {
    if (this.#waits.size === 0) return undefined;
    const until = Math.min(...[...this.#waits].map((wait) => wait.until));
    return Math.max(0, until - now) / 1000;
  }

  /** @param {number} now @returns {number | undefined} */
  #speed(now) {
    this.#marks.push({ time: now, loaded: this.#loaded });
    while (this.#marks.length > 2 && now - this.#marks[1].time > WINDOW) this.#marks.shift();
    const { time, loaded } = this.#marks[0];
    return now - time < SHORTEST ? undefined : (1000 * (this.#loaded - loaded)) / (now - time);
  }
}
