// Reads the requests of the OpenAI interface: every field is checked by its own name.
import { ArgumentError } from '../generated.js';
import { CONTEXT_POLICIES } from '../options.js';

/** @import { GenerateOptions } from '../options.js' */

const U32 = 2 ** 32 - 1;

/**
 * The most that a request may ask for; no limit unless set.
 * @typedef {object} Limits
 * @property {number} [n] choices of one request, over all its prompts
 * @property {number} [maxTokens] of a choice; also what is generated where a chat names no number
 * @property {number} [stop] texts that end a choice
 * @property {number} [biases] tokens of logit_bias
 * @property {number} [inputs] texts of one request for embeddings
 */

/** A field of a request is wrong: `param` names it. */
export class FieldError extends ArgumentError {
  /** @param {string} param @param {string} problem what the message says after the name */
  constructor(param, problem) {
    super(`${param} ${problem}`);
    this.param = param;
  }
}

/** The fields of a request. A field that is null is as good as none. */
export class Fields {
  #body;

  /** @param {unknown} body */
  constructor(body) {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new ArgumentError('a request must be an object');
    this.#body = /** @type {Record<string, unknown>} */ (body);
  }

  /** @param {string} name @returns {any} undefined where there is none */
  any(name) {
    return Object.hasOwn(this.#body, name) ? (this.#body[name] ?? undefined) : undefined;
  }

  /** @param {string} name @param {number} least @param {number} most */
  number(name, least, most) {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !(value >= least && value <= most))
      throw new FieldError(name, `must be a number from ${least} to ${most}, not ${shown(value)}`);
    return value;
  }

  /** @param {string} name @param {number} least @param {number} most */
  whole(name, least, most) {
    const value = this.number(name, least, most);
    if (value !== undefined && !Number.isInteger(value))
      throw new FieldError(name, `must be a whole number, not ${value}`);
    return value;
  }

  /** @param {string} name */
  boolean(name) {
    const value = this.any(name);
    if (value !== undefined && typeof value !== 'boolean')
      throw new FieldError(name, `must be true or false, not ${shown(value)}`);
    return value;
  }

  /** @template {string} T @param {string} name @param {readonly T[]} allowed @returns {T | undefined} */
  oneOf(name, allowed) {
    const value = this.any(name);
    if (value !== undefined && !allowed.includes(value))
      throw new FieldError(name, `must be one of ${allowed.join(', ')}, not ${shown(value)}`);
    return value;
  }

  /** Refuses a field that stands for something that is not offered. @param {string} name */
  refuse(name, why = 'is not supported') {
    const value = this.any(name);
    const nothing = value === '' || value === false || (Array.isArray(value) && !value.length);
    if (value !== undefined && !nothing) throw new FieldError(name, why);
  }
}

/** A value as an error message may quote it. @param {unknown} value */
export function shown(value) {
  if (typeof value === 'string') return value.length > 40 ? 'a longer text' : `'${value}'`;
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'an object';
  return String(value);
}

/**
 * What both kinds of completions have in common.
 * @param {Fields} fields
 * @param {Limits} limits
 */
export function common(fields, limits) {
  const n = fields.whole('n', 1, limits.n ?? U32) ?? 1;
  const stream = fields.boolean('stream') ?? false;
  const streamOptions = fields.any('stream_options');
  if (streamOptions !== undefined && !stream)
    throw new FieldError('stream_options', 'goes with stream: true only');
  const includeUsage = streamOptions?.include_usage ?? false;
  if (typeof includeUsage !== 'boolean')
    throw new FieldError('stream_options', 'has true or false for include_usage');
  const format = fields.any('response_format');
  if (format !== undefined && format?.type !== 'text')
    throw new FieldError('response_format', 'can be text only');
  return { n, stream, includeUsage, seed: seedOf(fields), options: sampling(fields, limits) };
}

/** @param {Fields} fields @param {Limits} limits @returns {GenerateOptions} */
function sampling(fields, limits) {
  const options = {
    temperature: fields.number('temperature', 0, 2),
    topP: fields.number('top_p', 0, 1),
    frequencyPenalty: fields.number('frequency_penalty', -2, 2),
    presencePenalty: fields.number('presence_penalty', -2, 2),
    logitBias: biases(fields, limits),
    stop: stops(fields, limits),
    // These OpenAI does not have; other servers call them so.
    topK: fields.whole('top_k', 0, U32),
    minP: fields.number('min_p', 0, 1),
    repetitionPenalty: fields.number('repetition_penalty', 0.01, 100),
    ignoreEos: fields.boolean('ignore_eos'),
    contextPolicy: fields.oneOf('context_policy', CONTEXT_POLICIES),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

/** @param {Fields} fields @param {Limits} limits @param {string[]} names the first that is set counts */
export function maxTokens(fields, limits, ...names) {
  const most = limits.maxTokens ?? U32;
  const values = names.map((name) => fields.whole(name, 1, most));
  return values.find((value) => value !== undefined);
}

/** OpenAI's seeds are signed; halfbyte's are the same bits without a sign. @param {Fields} fields */
function seedOf(fields) {
  const seed = fields.whole('seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return seed === undefined ? undefined : BigInt.asUintN(64, BigInt(seed));
}

/** @param {Fields} fields @param {Limits} limits */
function biases(fields, { biases: most = Infinity }) {
  const given = fields.any('logit_bias');
  if (given === undefined) return undefined;
  if (typeof given !== 'object' || Array.isArray(given))
    throw new FieldError('logit_bias', `must be an object, not ${shown(given)}`);
  const table = Object.entries(given);
  if (table.length > most) throw new FieldError('logit_bias', `can hold ${most} tokens at most`);
  for (const [token, bias] of table) {
    if (!/^\d{1,10}$/.test(token))
      throw new FieldError('logit_bias', `has token numbers for keys, not ${shown(token)}`);
    if (typeof bias !== 'number' || !(Math.abs(bias) <= 100))
      throw new FieldError('logit_bias', `has numbers from -100 to 100, not ${shown(bias)}`);
  }
  return given;
}

/** @param {Fields} fields @param {Limits} limits @returns {string[] | undefined} */
function stops(fields, { stop: most = Infinity }) {
  const given = fields.any('stop');
  if (given === undefined) return undefined;
  const texts = Array.isArray(given) ? given : [given];
  if (texts.length > most) throw new FieldError('stop', `can hold ${most} texts at most`);
  for (const text of texts)
    if (typeof text !== 'string' || text === '')
      throw new FieldError('stop', 'must be a text or a list of texts that are not empty');
  return texts;
}

/**
 * A field of texts, each of which may be tokens.
 * @param {Fields} fields
 * @param {string} name
 * @returns {(string | number[])[]}
 */
export function texts(fields, name) {
  const given = fields.any(name);
  if (typeof given === 'string') return [given];
  if (Array.isArray(given) && given.length > 0) {
    if (isTokens(given)) return [given];
    if (given.every((each) => typeof each === 'string' || isTokens(each))) return given;
  }
  throw new FieldError(name, 'must be a text, tokens, or a list of either that is not empty');
}

/** @param {unknown} value @returns {value is number[]} */
function isTokens(value) {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((token) => Number.isInteger(token) && token >= 0)
  );
}
