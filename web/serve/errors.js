// Errors as OpenAI's interface tells them.
import { NoTemplateError, TemplateError } from '../error.js';
import {
  AbortError,
  ArgumentError,
  ContextFullError,
  OutOfMemoryError,
  UnsupportedModelError,
} from '../generated.js';

/** A request that is answered with an HTTP status. */
export class RequestError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {{ code?: string, headers?: Record<string, string> }} [details]
   */
  constructor(status, message, { code, headers = {} } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** @type {[new (...args: any[]) => Error, number, string][]} */
const STATUSES = [
  [ContextFullError, 400, 'context_length_exceeded'],
  [ArgumentError, 400, 'invalid_value'],
  [UnsupportedModelError, 400, 'unsupported_model'],
  [NoTemplateError, 400, 'no_chat_template'],
  [TemplateError, 400, 'template_failed'],
  [OutOfMemoryError, 503, 'out_of_memory'],
  [AbortError, 503, 'aborted'],
];

/**
 * What to answer to a request that failed. Messages of failures that are not the request's stay here:
 * they may tell of the machine.
 * @param {unknown} error
 * @returns {{ status: number, headers: Record<string, string>, body: { error: object } }}
 */
export function answerTo(error) {
  if (error instanceof RequestError) {
    const { status, message, code = null, headers } = error;
    return { status, headers, body: bodyOf(status, message, null, code) };
  }
  const known = STATUSES.find(([Class]) => error instanceof Class);
  const status = known?.[1] ?? 500;
  const message = known ? /** @type {Error} */ (error).message : 'the server failed';
  const param = /** @type {{ param?: string }} */ (error)?.param ?? null;
  return { status, headers: {}, body: bodyOf(status, message, param, known?.[2] ?? null) };
}

/** @param {number} status @param {string} message @param {string | null} param @param {string | null} code */
function bodyOf(status, message, param, code) {
  return { error: { message, type: typeOf(status), param, code } };
}

/** @param {number} status */
function typeOf(status) {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
