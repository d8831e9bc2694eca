/**
 * What every error of halfbyte has: a class, and a `code` that stays the same from version to
 * version. The classes that stand for a status of the C core are generated (generated.js).
 */
export class HalfbyteError extends Error {
  static code = 'ERROR';
  static label = 'HalfbyteError'; // the class's name, which a minifier changes
  /** What an error has beside its message, and takes along from a worker. @type {string[]} */
  static fields = ['offset'];

  /**
   * @param {string} message
   * @param {{ cause?: unknown, offset?: number }} [details] `offset`: the byte in the model's file
   *   where the cause stands
   */
  constructor(message, { cause, offset } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    const kind = /** @type {typeof HalfbyteError} */ (new.target);
    /** Stable name of the kind of error, such as 'FORMAT'. */
    this.code = kind.code;
    this.name = kind.label;
    /** @type {number | undefined} */
    this.offset = offset;
  }
}

/** A URL could not be fetched, or its transfer broke off. */
export class NetworkError extends HalfbyteError {
  static code = 'NETWORK';
  static label = 'NetworkError';
  static fields = ['offset', 'status', 'retryAfter'];

  /**
   * @param {string} message
   * @param {{ cause?: unknown, offset?: number, status?: number, retryAfter?: number }} [details]
   */
  constructor(message, details = {}) {
    super(message, details);
    /** What the server answered, if it did: the status of HTTP. @type {number | undefined} */
    this.status = details.status;
    /** Seconds after which the server wants to be asked again. @type {number | undefined} */
    this.retryAfter = details.retryAfter;
  }
}

/** This browser or version of Node lacks something that halfbyte cannot do without. */
export class EnvironmentError extends HalfbyteError {
  static code = 'ENVIRONMENT';
  static label = 'EnvironmentError';
}

/** The engine broke down (a trap, a worker that died). The model is unusable; load it anew. */
export class EngineError extends HalfbyteError {
  static code = 'ENGINE';
  static label = 'EngineError';
}

/** There is not as much of something as is needed: the numbers, in bytes, as far as they are known. */
export class ShortageError extends HalfbyteError {
  static code = 'SHORTAGE';
  static label = 'ShortageError';
  static fields = ['needed', 'available'];

  /**
   * @param {string} message
   * @param {{ cause?: unknown, offset?: number, needed?: number, available?: number }} [details]
   */
  constructor(message, details = {}) {
    super(message, details);
    /** Bytes that were to be stored or used. @type {number | undefined} */
    this.needed = details.needed;
    /** Bytes that can be. @type {number | undefined} */
    this.available = details.available;
  }
}

/** A browser's or a disk's storage is full, or would be. */
export class QuotaError extends ShortageError {
  static code = 'QUOTA';
  static label = 'QuotaError';
}

/** Bytes are not those that their SHA-256 stands for. */
export class IntegrityError extends HalfbyteError {
  static code = 'INTEGRITY';
  static label = 'IntegrityError';
  static fields = ['offset', 'expected', 'actual'];

  /**
   * @param {string} message
   * @param {{ cause?: unknown, offset?: number, expected?: string, actual?: string }} [details]
   */
  constructor(message, details = {}) {
    super(message, details);
    /** The SHA-256 that was to be, in hexadecimal digits. @type {string | undefined} */
    this.expected = details.expected;
    /** The SHA-256 of the bytes that came. @type {string | undefined} */
    this.actual = details.actual;
  }
}

/** A chat template is wrong, refuses the conversation, or goes beyond its limits. */
export class TemplateError extends HalfbyteError {
  static code = 'TEMPLATE';
  static label = 'TemplateError';
}

/** The model has no chat template: it continues texts. */
export class NoTemplateError extends TemplateError {
  static code = 'NO_TEMPLATE';
  static label = 'NoTemplateError';
}
