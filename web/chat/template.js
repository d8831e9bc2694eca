// A model's Jinja template, which comes from a file that nobody checked, run within limits. It can
// compute texts and nothing else: the interpreter gives it values and no JavaScript.
import { Shadow, reveal } from './shadow.js';

/**
 * What is used of @huggingface/jinja, whose own types cannot be resolved.
 * @typedef {object} Jinja
 * @property {(source: string, options: object) => any[]} tokenize
 * @property {(tokens: any[]) => any} parse
 * @property {new () => { set: (name: string, value: unknown) => unknown }} Environment
 * @property {new (environment: any) => Interpreter} Interpreter
 *
 * @typedef {{
 *   run(program: any): { value: unknown },
 *   evaluate(statement: any, environment: any): { value: unknown },
 * }} Interpreter
 */

export const MOST_SOURCE = 128 * 1024; // characters
export const MOST_OUTPUT = 4 << 20; // characters
const MOST_WHITE_SPACE = 1000; // at a stretch: the interpreter's search takes its square
const MOST_TEXT = 256 << 20; // characters of all values together
const MOST_STEPS = 20_000_000;
const MOST_ELEMENTS = 100_000; // of a list

/**
 * @typedef {object} RenderRequest
 * @property {string} source of the template
 * @property {string[]} controls texts of the model's control tokens
 * @property {Record<string, any>} given what the caller gave: messages, tools and more
 * @property {Record<string, any>} own what the model gives: texts of its tokens
 *
 * @typedef {object} Rendered
 * @property {string} text in which the caller's characters are hidden
 * @property {string} hidden characters that stand for
 * @property {string} shown these
 */

/**
 * @param {Jinja} jinja
 * @param {RenderRequest} request
 * @returns {Rendered}
 */
export function render(jinja, { source, controls, given, own }) {
  const run = compile(jinja, source);
  const shadow = new Shadow(controls, [source, ...textsOf(given), ...textsOf(own)]);
  const { plain, used } = withSystem(given, (each) => run({ ...each, ...own }));
  const { table } = shadow;
  const hidden = (/** @type {'all' | 'some'} */ how) =>
    run({ ...shadow.value(used, how), ...own });
  // Hidden characters may mislead a template that looks for some, such as the end of a thought.
  for (const how of /** @type {const} */ (['all', 'some'])) {
    const text = attempt(() => hidden(how));
    if (text !== undefined && reveal(text, table) === plain) return { text, ...table };
  }
  // It looks for control tokens: those of the caller are none.
  return { text: hidden('some'), ...table };
}

/**
 * Some templates refuse a system prompt. It then stands before the first of the user's messages.
 * @param {Record<string, any>} given
 * @param {(given: Record<string, any>) => string} run
 */
function withSystem(given, run) {
  try {
    return { plain: run(given), used: given };
  } catch (error) {
    const [system, user, ...others] = given.messages;
    if (system.role !== 'system' || user?.role !== 'user') throw error;
    const first = { ...user, content: `${system.content}\n\n${user.content}` };
    const used = { ...given, messages: [first, ...others] };
    const plain = attempt(() => run(used));
    if (plain === undefined) throw error;
    return { plain, used };
  }
}

/** @template T @param {() => T} body @returns {T | undefined} none if it throws */
function attempt(body) {
  try {
    return body();
  } catch {
    return undefined;
  }
}

/** All texts in a value, keys included. @param {any} value @returns {Generator<string>} */
function* textsOf(value) {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null)
    for (const [key, each] of Object.entries(value)) {
      yield key;
      yield* textsOf(each);
    }
}

/**
 * @param {Jinja} jinja
 * @param {string} source
 * @returns {(variables: Record<string, any>) => string}
 */
function compile(jinja, source) {
  if (source.length > MOST_SOURCE)
    throw new Error(`it has ${source.length} characters, of ${MOST_SOURCE} at most`);
  if (new RegExp(`\\s{${MOST_WHITE_SPACE + 1}}`).test(source))
    throw new Error(`it has more than ${MOST_WHITE_SPACE} white spaces at a stretch`);
  const tokens = jinja.tokenize(source, { lstrip_blocks: true, trim_blocks: true });
  const program = jinja.parse(tokens);
  const Interpreter = limited(jinja);
  return (variables) => {
    const environment = new jinja.Environment();
    const all = { ...GLOBALS, ...variables };
    for (const [name, value] of Object.entries(all)) environment.set(name, value);
    const { value } = new Interpreter(environment).run(program);
    if (typeof value !== 'string') throw new Error('it gave no text');
    return value;
  };
}

/** The interpreter, which counts what it does. @param {Jinja} jinja */
function limited(jinja) {
  return class extends jinja.Interpreter {
    #steps = 0;
    #text = 0;

    /** @param {any} statement @param {any} environment */
    evaluate(statement, environment) {
      if (++this.#steps > MOST_STEPS) throw new Error(`it takes more than ${MOST_STEPS} steps`);
      const result = super.evaluate(statement, environment);
      const { value } = result;
      if (typeof value === 'string') {
        this.#text += value.length;
        if (value.length > MOST_OUTPUT || this.#text > MOST_TEXT)
          throw new Error(`it makes texts of more than ${MOST_OUTPUT} characters`);
      } else if (Array.isArray(value) && value.length > MOST_ELEMENTS) {
        throw new Error(`it makes a list of more than ${MOST_ELEMENTS} elements`);
      }
      return result;
    }
  };
}

/** What templates expect beside their variables. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  strftime_now: (/** @type {string} */ format) => strftime(new Date(), format),
  raise_exception: (/** @type {unknown} */ message) => {
    throw new Error(String(message));
  },
};

/** @param {number} start @param {number} [stop] @param {number} [step] */
function range(start, stop, step = 1) {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= MOST_ELEMENTS))
    throw new Error(`it makes a list of more than ${MOST_ELEMENTS} elements`);
  return Array.from({ length }, (_, i) => from + i * step);
}

const MONTHS = 'January February March April May June July August September October November December';
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday';

/** A date as Python writes it in its C locale. @param {Date} date @param {string} format */
function strftime(date, format) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const month = MONTHS.split(' ')[date.getMonth()];
  const day = DAYS.split(' ')[date.getDay()];
  /** @type {Record<string, string>} */
  const values = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    '%': '%',
  };
  return String(format).replace(/%(.)/g, (all, name) => values[name] ?? all);
}
