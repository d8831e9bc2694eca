// Generated from src/halfbyte.h by wasm/generate-tables.js; not to be edited.
import { HalfbyteError, ShortageError } from './error.js';

/** An argument is out of its range. */
export class ArgumentError extends HalfbyteError {
  static code = 'ARGUMENT';
  static label = 'ArgumentError';
}

/** Memory could not be had. */
export class OutOfMemoryError extends ShortageError {
  static code = 'MEMORY';
  static label = 'OutOfMemoryError';
}

/** The file contradicts its format. */
export class FormatError extends HalfbyteError {
  static code = 'FORMAT';
  static label = 'FormatError';
}

/** The file ends before its contents do. */
export class TruncatedError extends HalfbyteError {
  static code = 'TRUNCATED';
  static label = 'TruncatedError';
}

/** The file asks for a feature that halfbyte lacks. */
export class UnsupportedModelError extends HalfbyteError {
  static code = 'UNSUPPORTED';
  static label = 'UnsupportedModelError';
}

/** A tensor or key of the model is missing or has the wrong shape. */
export class ModelError extends HalfbyteError {
  static code = 'MODEL';
  static label = 'ModelError';
}

/** The session's context is full. */
export class ContextFullError extends HalfbyteError {
  static code = 'CONTEXT_FULL';
  static label = 'ContextFullError';
}

/** A function was called at the wrong time. */
export class StateError extends HalfbyteError {
  static code = 'STATE';
  static label = 'StateError';
}

/** A file could not be read or written. */
export class IoError extends HalfbyteError {
  static code = 'IO';
  static label = 'IoError';
}

/** The caller asked to stop. */
export class AbortError extends HalfbyteError {
  static code = 'ABORTED';
  static label = 'AbortError';
}

/** This machine or engine computes wrong results. */
export class SelfTestError extends HalfbyteError {
  static code = 'SELFTEST';
  static label = 'SelfTestError';
}

/** The class of each status that is a failure. */
export const STATUS_CLASSES = {
  1: ArgumentError,
  2: OutOfMemoryError,
  3: FormatError,
  4: TruncatedError,
  5: UnsupportedModelError,
  6: ModelError,
  7: ContextFullError,
  8: StateError,
  9: IoError,
  10: AbortError,
  11: SelfTestError,
};

/** hb_isa */
export const ISA = /** @type {const} */ ({
  scalar: 0,
  avx2: 1,
  avx512: 2,
  neon: 3,
  simd128: 4,
  relaxed: 5,
  amx: 6,
});

/** hb_value_type */
export const VALUE = /** @type {const} */ ({
  U8: 0,
  I8: 1,
  U16: 2,
  I16: 3,
  U32: 4,
  I32: 5,
  F32: 6,
  BOOL: 7,
  STRING: 8,
  ARRAY: 9,
  U64: 10,
  I64: 11,
  F64: 12,
});

/** hb_kv_type */
export const KV = /** @type {const} */ ({
  f16: 0,
  f32: 1,
});

/** hb_finish */
export const FINISH = /** @type {const} */ ({
  NONE: 0,
  STOP: 1,
  LENGTH: 2,
  CONTEXT: 3,
});

/** hb_type, without those that are only recognized */
export const TYPE = /** @type {const} */ ({
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  IQ4_XS: 23,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  MXFP4: 39,
  NF4: 65536,
  FP4: 65537,
  TABLE4: 65538,
  TABLE3: 65539,
  INT2_64: 65540,
});

/** hb_probe_kind */
export const PROBE = /** @type {const} */ ({
  read: 0,
  copy: 1,
  matmul: 2,
  quantize: 3,
  pack: 4,
  attend: 5,
});

export const MAX_THREADS = 64;
export const DEFAULT_CONTEXT = 4096;
export const NO_TOKEN = -1;
export const TOKENIZE_BOS = 1;
export const TOKENIZE_SPECIAL = 2;
export const DETOKENIZE_SPECIAL = 1;
