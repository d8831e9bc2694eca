// The public face of halfbyte in JavaScript.
/// <reference lib="esnext.disposable" preserve="true" />
import { conversation } from './chat/messages.js';
import { travelling } from './chat/state.js';
import { Client, abortError } from './client.js';
import { compareModels } from './compare.js';
import { ArgumentError } from './generated.js';
import { adviseIsolation } from './isolation.js';
import { embedArgs, recommendArgs, scoringArgs } from './measure-options.js';
import { openaiOf } from './openai.js';
import {
  benchArgs,
  engineOptions,
  kernelBenchArgs,
  oneOf,
  text,
  tokenList,
} from './options.js';
import { recommendFrom } from './recommend.js';
import { resolveAdapters, resolveSources } from './resolve.js';
import { runSelfTest } from './selftest.js';
import { stream } from './stream.js';

/** @import { LoadedAdapter } from './adapters.js' */
/** @import { BenchResult } from './bench.js' */
/** @import { ChatMessage, TemplateOptions } from './chat/messages.js' */
/** @import { Local } from './client.js' */
/** @import { Comparison } from './divergence.js' */
/** @import { FinishReason } from './generation.js' */
/** @import { MetadataValue, TensorInfo } from './gguf.js' */
/** @import { KernelResult } from './kernels.js' */
/** @import { Perplexity } from './measures.js' */
/** @import { Plan } from './plan.js' */
/** @import { Recommendation } from './recommend.js' */
/** @import { LoadedQuantization } from './quantize/load.js' */
/** @import { SelfTestReport } from './selftest.js' */
/** @import { BenchOptions, GenerateOptions, KernelBenchOptions, LoadOptions, ModelSource } from './options.js' */
/** @import { EmbedOptions, MeasureOptions, RecommendOptions } from './measure-options.js' */
/** @import { Variant } from './variants.js' */

export { cache } from './cache/cache.js';
export { defaultModel } from './default-model.js';
export * from './error.js';
export { quantize } from './quantize.js';
export { finetune } from './train.js';
export {
  AbortError,
  ArgumentError,
  ContextFullError,
  FormatError,
  IoError,
  ModelError,
  OutOfMemoryError,
  SelfTestError,
  StateError,
  TruncatedError,
  UnsupportedModelError,
} from './generated.js';
export * from './types.js';
export { capabilities } from './variants.js';

/**
 * What a model's file says about it.
 * @typedef {object} ModelDescription
 * @property {string} architecture
 * @property {string} name
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headSize
 * @property {number} feedForward
 * @property {number} vocabulary
 * @property {number} trainedContextLength positions that the model was made for
 * @property {number} parameters
 * @property {number} fileBytes of all tensors in the file
 * @property {number} weightBytes of all tensors in memory
 * @property {number} contextLength positions of the context
 * @property {number} sessionBytes memory of a context of that length
 */

/**
 * A loaded model and how it runs.
 * @typedef {ModelDescription & {
 *   tokenizer: { bos?: number, eos?: number, unknown?: number, addsBos: boolean, addsEos: boolean }
 *     | undefined,
 *   hasChatTemplate: boolean,
 *   loadSeconds: number,
 *   memoryBytes: number,
 *   variant: Variant,
 *   isa: string,
 *   kv: 'f16' | 'f32',
 *   threads: number,
 *   threadsReason: string | undefined,
 *   notes: string[],
 *   notKept: string | undefined,
 *   lora: LoadedAdapter[],
 *   quantization?: LoadedQuantization,
 * }} ModelInfo
 * `hasChatTemplate`: whether `chat` needs no `chatTemplate`; `memoryBytes`: of the module, all in
 * all; `threadsReason`: why there is one thread only; `notes`: faster variants that were tried in
 * vain, and why; `notKept`: why the cache did not keep what was downloaded, or quantized, where it
 * was to; `lora`: the adapters that were added; `quantization`: of a model that was loaded with
 * `quantize`.
 */

/**
 * A file's header.
 * @typedef {ModelDescription & {
 *   metadata: Record<string, MetadataValue>, tensors: TensorInfo[],
 *   specialTokens: { bos?: string, eos?: string, unknown?: string },
 * }} Inspection
 */

/**
 * A step of a generation: the text that became certain (it may be empty) and the token that was
 * drawn, with the natural logarithm of its probability if `logprobs` was set.
 * @typedef {object} StreamPart
 * @property {string} text
 * @property {number} [token]
 * @property {number} [logprob]
 * @property {undefined} [finishReason]
 */

/**
 * The last object of a stream.
 * @typedef {object} StreamEnd
 * @property {''} text
 * @property {FinishReason} finishReason
 * @property {Usage} usage
 * @property {Timings} timings
 * @property {number | bigint} seed with which the same text comes again
 *
 * @typedef {object} Usage
 * @property {number} promptTokens
 * @property {number} cachedTokens how many of the prompt's the model had read before, and did not
 *   read again
 * @property {number} completionTokens
 * @property {number} droppedTokens how many were left out, of the prompt and later, by contextPolicy
 *
 * @typedef {object} Timings
 * @property {number} prefillMs
 * @property {number} decodeMs
 * @property {number} prefillTokensPerSecond
 * @property {number} tokensPerSecond
 */

/**
 * Loads a model into a worker of its own.
 * @param {ModelSource | ModelSource[]} source a URL, a name on a hub (hf:owner/repo/file.gguf), a path
 *   (Node), a File, Blob or file handle, a stream, an ArrayBuffer; of a split model the first file's
 *   URL, name or path, or a list of all files
 * @param {LoadOptions} [options]
 * @returns {Promise<Model>}
 */
export async function load(source, options = {}) {
  if (options.quantize !== undefined) return quantizeAndLoad(source, options);
  const { client, value } = await start('load', source, options);
  adviseIsolation(value.threadsReason);
  return new Model(client, value);
}

/** Quantizes before. @param {ModelSource | ModelSource[]} source @param {LoadOptions} options */
async function quantizeAndLoad(source, options) {
  const args = { options: engineOptions(options) };
  const { loadQuantized } = await import('./quantize/load.js');
  const { loaded, quantization, notKept } = await loadQuantized(
    source,
    options,
    async ({ sources, locals }) => {
      const adapters = await resolveAdapters(options.lora, locals, options);
      return startWith('load', locals, { ...args, sources, adapters }, options);
    },
  );
  const { client, value } = loaded;
  adviseIsolation(value.threadsReason);
  return new Model(client, { ...value, quantization, notKept: notKept ?? value.notKept });
}

/**
 * Reads a model's header and nothing more.
 * @param {ModelSource | ModelSource[]} source
 * @param {LoadOptions} [options]
 * @returns {Promise<Inspection>}
 */
export async function inspect(source, options = {}) {
  const { client, value } = await start('inspect', source, options);
  await client.end();
  return value;
}

/**
 * Tells what a model takes before it is fetched, from its header: memory, disk, whether it fits here
 * with these options, and what to change if not.
 * @param {ModelSource | ModelSource[]} source
 * @param {LoadOptions} [options] as `load` takes them
 * @returns {Promise<Plan>}
 */
export async function plan(source, options = {}) {
  const { client, value } = await start('plan', source, options);
  await client.end();
  return value;
}

/**
 * Measures this device in about a second and says which well-known models, of which types, will run
 * on it at what speed.
 * @param {RecommendOptions} [options]
 * @returns {Promise<Recommendation>}
 */
export async function recommend(options = {}) {
  const { wanted, ...args } = recommendArgs(options);
  const { client, value } = await startWith('layers', [], args, options);
  await client.end();
  return recommendFrom(value, wanted);
}

/**
 * Computes known answers on everything that runs here (instruction sets, threads): guards against an
 * engine that miscompiles. Takes a second or two.
 * @param {{ signal?: AbortSignal, model?: ModelSource }} [options] `model`: where the embedded model
 *   lies, if it was moved
 * @returns {Promise<SelfTestReport>}
 */
export async function selfTest(options = {}) {
  return runSelfTest(load, options);
}

/**
 * Measures the kernels under the models, each on operands of its own.
 * @param {KernelBenchOptions} [options]
 * @returns {Promise<KernelResult[]>}
 */
export async function benchKernels(options = {}) {
  const { client, value } = await startWith('kernels', [], kernelBenchArgs(options), options);
  await client.end();
  return value;
}

/**
 * @param {'load' | 'inspect' | 'plan'} method
 * @param {ModelSource | ModelSource[]} source
 * @param {LoadOptions} options
 */
async function start(method, source, options) {
  const args = { options: engineOptions(options) };
  const { sources, locals } = await resolveSources(source, options);
  const adapters = method === 'load' ? await resolveAdapters(options.lora, locals, options) : [];
  return startWith(method, locals, { ...args, sources, adapters }, options);
}

/**
 * Starts a worker with its first call; ends it if that fails.
 * @param {string} method
 * @param {Local[]} locals
 * @param {any} args
 * @param {{ signal?: AbortSignal, onProgress?: (progress: any) => void }} options
 */
async function startWith(method, locals, args, { signal, onProgress }) {
  if (signal?.aborted) throw abortError(signal);
  const client = new Client(locals);
  try {
    const value = await client.call(method, args, { signal, onEvent: onProgress });
    return { client, value };
  } catch (error) {
    await client.end();
    throw error;
  }
}

/** A loaded model. Calls are answered one after the other, in the order in which they were made. */
export class Model {
  #client;
  #info;

  /**
   * Models come from `load`.
   * @internal
   * @param {Client} client
   * @param {ModelInfo} info
   */
  constructor(client, info) {
    this.#client = client;
    this.#info = Object.freeze(info);
  }

  /** What was loaded and how it runs. */
  get info() {
    return this.#info;
  }

  /**
   * Continues a prompt, as texts. Leaving the loop early ends the generation.
   * @param {string | ArrayLike<number>} prompt a text, or tokens
   * @param {GenerateOptions} [options]
   * @returns {AsyncGenerator<string, void, undefined>}
   */
  async *generate(prompt, options = {}) {
    for await (const { text } of this.stream(prompt, options)) if (text) yield text;
  }

  /**
   * Continues a prompt, as objects: the steps, then one with a `finishReason`.
   * @param {string | ArrayLike<number>} prompt a text, or tokens
   * @param {GenerateOptions} [options]
   * @returns {AsyncGenerator<StreamPart | StreamEnd, void, undefined>}
   */
  async *stream(prompt, options = {}) {
    const given = typeof prompt === 'string' ? prompt : tokenList(prompt);
    yield* stream(this.#client, given, options);
  }

  /**
   * Answers a conversation, as objects like those of `stream`. The model's own template makes a
   * prompt of the messages, with control tokens where the template writes them; what stands in the
   * messages stays text. Of a conversation that goes on, only what is new is read.
   * @param {ChatMessage[]} messages
   * @param {GenerateOptions & TemplateOptions} [options] `special` has no meaning here
   * @returns {AsyncGenerator<StreamPart | StreamEnd, void, undefined>} rejects with a NoTemplateError
   *   if the model has no chat template and none is given
   */
  async *chat(messages, options = {}) {
    yield* stream(this.#client, conversation(messages, options), options);
  }

  /**
   * The tokens that a template makes of a conversation: what `chat` continues.
   * @param {ChatMessage[]} messages
   * @param {TemplateOptions & { signal?: AbortSignal }} [options]
   * @returns {Promise<number[]>}
   */
  async chatTokens(messages, options = {}) {
    const prompt = conversation(messages, options);
    return this.#client.call('chatTokens', { prompt }, { signal: options.signal });
  }

  /**
   * What the model has read last, prompt and answer, to be kept: tokens, keys and values. A
   * conversation that begins so is then not read again.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Blob>} some 10 to 200 KB a token, depending on the model
   */
  async saveState({ signal } = {}) {
    return this.#client.call('saveState', {}, { signal });
  }

  /**
   * Takes up what was saved, from the same model with the same type of cache. Anything else is
   * refused, as are damaged bytes.
   * @param {Blob} state
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<number>} how many tokens the model then holds
   */
  async restoreState(state, { signal } = {}) {
    return this.#client.call('restoreState', { blob: await travelling(state) }, { signal });
  }

  /**
   * Splits a text into tokens.
   * @param {string} input
   * @param {{ bos?: boolean, special?: boolean, signal?: AbortSignal }} [options] `bos` (unless
   *   false): with the tokens that the model wants around a text; `special`: control tokens written
   *   in the text become tokens
   * @returns {Promise<number[]>}
   */
  async tokenize(input, { bos = true, special = false, signal } = {}) {
    return this.#client.call(
      'tokenize',
      { text: text('the text', input), bos, special },
      { signal },
    );
  }

  /**
   * Turns tokens into text.
   * @param {ArrayLike<number>} tokens
   * @param {{ special?: boolean, signal?: AbortSignal }} [options] `special`: write control tokens
   *   out instead of leaving them away
   * @returns {Promise<string>}
   */
  async detokenize(tokens, { special = false, signal } = {}) {
    return this.#client.call('detokenize', { tokens: tokenList(tokens), special }, { signal });
  }

  /**
   * The raw texts of tokens as the model's file has them: byte-level tokens in their printable
   * alphabet, control tokens by name.
   * @param {ArrayLike<number>} tokens
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<string[]>}
   */
  async tokenTexts(tokens, { signal } = {}) {
    return this.#client.call('tokenTexts', { tokens: tokenList(tokens) }, { signal });
  }

  /**
   * The logits at every position of a text that begins with the first token.
   * @param {ArrayLike<number>} tokens
   * @param {{ split?: 'whole' | 'pieces' | 'single', signal?: AbortSignal }} [options] `split`: in
   *   which steps the text is computed; the results are the same
   * @returns {Promise<Float32Array>} [tokens][vocabulary]
   */
  async logits(tokens, { split = 'whole', signal } = {}) {
    const args = {
      tokens: tokenList(tokens),
      split: oneOf('split', split, ['whole', 'pieces', 'single']),
    };
    return this.#client.call('logits', args, { signal });
  }

  /**
   * Measures how fast the model reads and decodes, with the threads that it was loaded with. Takes
   * some seconds, during which other calls wait, and 64 to 256 MiB of memory.
   * @param {BenchOptions} [options]
   * @returns {Promise<BenchResult>}
   */
  async bench(options = {}) {
    const { signal, onProgress } = options;
    return this.#client.call('bench', benchArgs(options), { signal, onEvent: onProgress });
  }

  /**
   * The model behind the methods of OpenAI's client: `chat.completions.create`,
   * `completions.create` and `embeddings.create`, with the same fields, chunks and finish reasons.
   */
  get openai() {
    return openaiOf(this);
  }

  /**
   * Vectors that stand for texts: the states behind the model's last norm, pooled over the tokens of
   * each text. Models that were made for it give vectors whose angles tell how much texts have in
   * common; others give rough ones.
   * @param {(string | ArrayLike<number>)[]} texts texts, or tokens
   * @param {EmbedOptions} [options]
   * @returns {Promise<Float32Array[]>} one for each text, as long as the model is wide
   */
  async embed(texts, options = {}) {
    const { signal, onProgress } = options;
    const args = embedArgs(texts, options);
    return this.#client.call('embed', args, { signal, onEvent: onProgress });
  }

  /**
   * How well the model predicts a text: the exponential of the mean loss a token, with llama.cpp's
   * convention (chunks of `context` tokens, each scored in its second half), and so the number that
   * `halfbyte perplexity` and `llama-perplexity` give.
   * @param {string} input
   * @param {MeasureOptions} [options]
   * @returns {Promise<Perplexity>}
   */
  async perplexity(input, options = {}) {
    const { signal, onProgress } = options;
    const args = scoringArgs(input, options);
    return this.#client.call('perplexity', args, { signal, onEvent: onProgress });
  }

  /**
   * How far the model's predictions are from those of another on a text: of a quantized model, how
   * much it lost against the original. Both must have the same tokenizer.
   * @param {Model} reference is taken for the truth
   * @param {string} input
   * @param {MeasureOptions} [options]
   * @returns {Promise<Comparison>}
   */
  async compare(reference, input, options = {}) {
    if (!(reference instanceof Model)) throw new ArgumentError('a model is compared with a Model');
    return compareModels(this.#client, reference.#client, scoringArgs(input, options), options);
  }

  /** Frees everything, workers included. Calls that are pending reject with a StateError. */
  async dispose() {
    await this.#client.end();
  }

  /** `await using` disposes of the model at the end of the block. */
  async [Symbol.asyncDispose]() {
    await this.dispose();
  }
}
