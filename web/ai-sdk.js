// A model of halfbyte as a language model of the Vercel AI SDK (the package `ai`, version 7).
import { chatMessages, plainText } from './ai-sdk/messages.js';
import { abortError } from './client.js';
import { ToolCalls } from './openai/tool-calls.js';

/** @import { Model, StreamEnd, StreamPart } from './index.js' */
/** @import { ToolCall } from './openai/types.js' */

/**
 * A part of a message.
 * @typedef {{ type: string, [field: string]: any }} PromptPart
 */

/**
 * A message of a prompt.
 * @typedef {{ role: string, content: string | PromptPart[] }} PromptMessage
 */

/**
 * What the SDK asks for; its LanguageModelV4CallOptions.
 * @typedef {object} CallOptions
 * @property {PromptMessage[]} prompt
 * @property {number} [maxOutputTokens]
 * @property {number} [temperature]
 * @property {number} [topP]
 * @property {number} [topK]
 * @property {number} [presencePenalty]
 * @property {number} [frequencyPenalty]
 * @property {string[]} [stopSequences]
 * @property {number} [seed]
 * @property {{ type: string }} [responseFormat]
 * @property {{ type: string, name: string, description?: string, inputSchema?: any }[]} [tools]
 * @property {{ type: string }} [toolChoice]
 * @property {string} [reasoning]
 * @property {AbortSignal} [abortSignal]
 * @property {boolean} [includeRawChunks]
 * @property {Record<string, any>} [providerOptions] under `halfbyte`: further options of
 *   `model.chat`, such as `minP` and `templateVariables`
 */

/**
 * A setting that has no effect here.
 * @typedef {{ type: 'unsupported', feature: string, details: string }} Warning
 */

/**
 * How a call ended.
 * @typedef {object} Ending
 * @property {{ unified: 'stop' | 'length' | 'tool-calls', raw: string }} finishReason
 * @property {Usage} usage
 */

/**
 * Tokens of a call.
 * @typedef {object} Usage
 * @property {{ total: number, noCache: number, cacheRead: number, cacheWrite: undefined }} inputTokens
 * @property {{ total: number, text: number, reasoning: undefined }} outputTokens
 */

/**
 * A call of a tool.
 * @typedef {{ type: 'tool-call', toolCallId: string, toolName: string, input: string }} Call
 */

/**
 * What a call answers.
 * @typedef {Ending & {
 *   content: ({ type: 'text', text: string } | Call)[], warnings: Warning[],
 *   response: { id: string, timestamp: Date, modelId: string },
 * }} Answer
 */

/**
 * A piece of a streamed answer.
 * @typedef {{ type: 'stream-start', warnings: Warning[] }
 *   | { type: 'response-metadata', id: string, timestamp: Date, modelId: string }
 *   | { type: 'text-start' | 'text-end', id: string }
 *   | { type: 'text-delta', id: string, delta: string }
 *   | { type: 'raw', rawValue: unknown }
 *   | { type: 'error', error: unknown }
 *   | { type: 'finish' } & Ending
 *   | Call} Piece
 */

/**
 * What `generateText` and `streamText` take as their model.
 * @typedef {object} LanguageModel
 * @property {'v4'} specificationVersion
 * @property {string} provider
 * @property {string} modelId
 * @property {Record<string, RegExp[]>} supportedUrls
 * @property {(options: CallOptions) => Promise<Answer>} doGenerate answers as a whole
 * @property {(options: CallOptions) => Promise<{ stream: ReadableStream<Piece> }>} doStream
 *   answers piece by piece
 */

/**
 * How a model is used.
 * @typedef {object} LanguageModelOptions
 * @property {string} [name] the model's id in answers; its own name unless given
 * @property {boolean} [plain] continue the texts of the messages instead of chatting: for models
 *   without a chat template
 */

/**
 * What a model's parts become.
 * @typedef {Extract<Piece, { type: 'text-delta' | 'tool-call' | 'finish' | 'raw' }>} Told
 */

/**
 * Starts a generation.
 * @typedef {(options: any) => AsyncGenerator<StreamPart | StreamEnd, void, undefined>} Start
 */

/**
 * Makes a loaded model a language model of the Vercel AI SDK.
 * @param {Pick<Model, 'info' | 'stream' | 'chat'>} model
 * @param {LanguageModelOptions} [options]
 * @returns {LanguageModel}
 */
export function languageModel(model, { name, plain = false } = {}) {
  const modelId = name ?? (model.info.name || 'halfbyte');
  /** @param {CallOptions} call */
  const begin = (call) => {
    const response = { id: crypto.randomUUID(), timestamp: new Date(), modelId };
    /** @type {Start} */
    const start = plain
      ? (options) => model.stream(plainText(call.prompt), options)
      : (options) => model.chat(chatMessages(call.prompt), { ...options, tools: toolsOf(call) });
    return { response, warnings: warningsOf(call, plain), given: pieces(start, call, plain) };
  };
  return {
    specificationVersion: 'v4',
    provider: 'halfbyte',
    modelId,
    supportedUrls: {},
    doGenerate: async (call) => {
      const { response, warnings, given } = begin(call);
      return { ...(await whole(given)), response, warnings };
    },
    doStream: async (call) => {
      const { response, warnings, given } = begin(call);
      return { stream: streamOf(framed(given, warnings, response)) };
    },
  };
}

/** @param {CallOptions} call */
function optionsOf(call) {
  const options = {
    maxTokens: call.maxOutputTokens,
    temperature: call.temperature,
    topP: call.topP,
    topK: call.topK,
    presencePenalty: call.presencePenalty,
    frequencyPenalty: call.frequencyPenalty,
    stop: call.stopSequences,
    seed: call.seed,
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...call.providerOptions?.halfbyte, ...Object.fromEntries(given), signal: call.abortSignal };
}

/** @param {CallOptions} call */
function toolsOf({ tools = [], toolChoice }) {
  const known = tools.filter(({ type }) => type === 'function');
  if (toolChoice?.type === 'none' || known.length === 0) return undefined;
  return known.map(({ name, description, inputSchema }) => ({
    type: 'function',
    function: { name, description, parameters: inputSchema },
  }));
}

/** @param {CallOptions} call @param {boolean} plain @returns {Warning[]} */
function warningsOf({ tools = [], toolChoice, responseFormat, reasoning }, plain) {
  /** @type {[boolean, string, string][]} */
  const checks = [
    [responseFormat?.type === 'json', 'responseFormat', 'the answer is not held to JSON'],
    [plain && tools.length > 0, 'tools', 'a text is continued without them'],
    [tools.some(({ type }) => type !== 'function'), 'tools', 'a provider has no tools here'],
    [
      toolChoice?.type === 'required' || toolChoice?.type === 'tool',
      'toolChoice',
      'the model chooses whether it calls a tool',
    ],
    [
      reasoning !== undefined && reasoning !== 'provider-default',
      'reasoning',
      'set providerOptions.halfbyte.templateVariables to what the template knows',
    ],
  ];
  return checks
    .filter(([holds]) => holds)
    .map(([, feature, details]) => ({ type: 'unsupported', feature, details }));
}

/**
 * The answer in texts and calls of tools, and its ending.
 * @param {Start} start
 * @param {CallOptions} call
 * @param {boolean} plain
 * @returns {AsyncGenerator<Told, void, undefined>}
 */
async function* pieces(start, call, plain) {
  const { abortSignal: signal } = call;
  if (signal?.aborted) throw abortError(signal);
  const finder = !plain && toolsOf(call) ? new ToolCalls() : undefined;
  let called = false;
  for await (const part of start(optionsOf(call))) {
    if (part.finishReason === 'abort' && signal) throw abortError(signal);
    if (call.includeRawChunks) yield { type: 'raw', rawValue: part };
    const found = finder?.push(part.text) ?? { text: part.text, calls: [] };
    const rest = part.finishReason && finder ? finder.end() : { text: '', calls: [] };
    const text = found.text + rest.text;
    if (text) yield { type: 'text-delta', id: '0', delta: text };
    for (const each of [...found.calls, ...rest.calls]) {
      called = true;
      yield callOf(each);
    }
    if (part.finishReason) yield { type: 'finish', ...endingOf(part, called) };
  }
}

/** @param {ToolCall} call @returns {Call} */
function callOf({ id, function: { name, arguments: input } }) {
  return { type: 'tool-call', toolCallId: id, toolName: name, input };
}

/** @param {StreamEnd} end @param {boolean} called @returns {Ending} */
function endingOf({ finishReason, usage }, called) {
  const { promptTokens, cachedTokens = 0, completionTokens } = usage;
  const stopped = called ? 'tool-calls' : 'stop';
  return {
    finishReason: { unified: finishReason === 'stop' ? stopped : 'length', raw: finishReason },
    usage: {
      inputTokens: {
        total: promptTokens,
        noCache: promptTokens - cachedTokens,
        cacheRead: cachedTokens,
        cacheWrite: undefined,
      },
      outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    },
  };
}

/**
 * @param {AsyncIterable<Told>} given
 * @returns {Promise<Ending & Pick<Answer, 'content'>>}
 */
async function whole(given) {
  let text = '';
  /** @type {Call[]} */
  const calls = [];
  /** @type {Ending | undefined} */
  let ending;
  for await (const piece of given) {
    if (piece.type === 'text-delta') text += piece.delta;
    else if (piece.type === 'tool-call') calls.push(piece);
    else if (piece.type === 'finish') ending = piece;
  }
  const { finishReason, usage } = /** @type {Ending} */ (ending);
  const texts = text ? [{ type: /** @type {const} */ ('text'), text }] : [];
  return { content: [...texts, ...calls], finishReason, usage };
}

/**
 * Adds what a stream of the SDK has around its texts.
 * @param {AsyncIterable<Told>} given
 * @param {Warning[]} warnings
 * @param {Answer['response']} response
 * @returns {AsyncGenerator<Piece, void, undefined>}
 */
async function* framed(given, warnings, response) {
  yield { type: 'stream-start', warnings };
  yield { type: 'response-metadata', ...response };
  let open = false;
  try {
    for await (const piece of given) {
      if (piece.type === 'text-delta' && !open) yield { type: 'text-start', id: piece.id };
      if (piece.type === 'finish' && open) yield { type: 'text-end', id: '0' };
      open ||= piece.type === 'text-delta';
      yield piece;
    }
  } catch (error) {
    yield { type: 'error', error };
  }
}

/** A stream that is read no faster than it is asked for. @param {AsyncGenerator<Piece, void, undefined>} pieces */
function streamOf(pieces) {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await pieces.return();
    },
  });
}
