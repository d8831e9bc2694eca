// Chat and text completions: one generation a choice, told in OpenAI's shapes.
import { abortError } from '../client.js';
import { FieldError, Fields, common, maxTokens, texts } from './request.js';
import { ChatShape, TextShape } from './shapes.js';
import { steps } from './steps.js';
import { begin } from './stream.js';

/** @import { ChatMessage, TemplateOptions } from '../chat/messages.js' */
/** @import { Model, StreamEnd } from '../index.js' */
/** @import { Limits } from './request.js' */
/** @import { Job } from './steps.js' */
/** @import { Entry, FinishReason, ToolCall, Usage } from './types.js' */

const TEXT_TOKENS = 16; // what OpenAI generates where a text completion names no number

/** @typedef {{ name?: string, limits?: Limits }} Setting */

/**
 * @param {Model} model
 * @param {unknown} body
 * @param {{ signal?: AbortSignal }} [request]
 * @param {Setting} [setting]
 * @returns {Promise<any>}
 */
export async function chat(model, body, { signal } = {}, { name, limits = {} } = {}) {
  const fields = new Fields(body);
  const { options, ...rest } = common(fields, limits);
  const list = messages(fields);
  const template = templateOptions(fields);
  for (const field of ['functions', 'function_call', 'audio', 'web_search_options'])
    fields.refuse(field);
  if (fields.whole('top_logprobs', 0, 20))
    throw new FieldError('top_logprobs', 'must be 0: only chosen tokens have a log-probability');
  const logprobs = fields.boolean('logprobs') ?? false;
  const most = maxTokens(fields, limits, 'max_completion_tokens', 'max_tokens') ?? limits.maxTokens;
  return answer(signal, {
    ...rest,
    options: { ...options, logprobs, ...(most !== undefined && { maxTokens: most }) },
    shape: new ChatShape(nameOf(model, name), logprobs),
    eos: model.info.tokenizer?.eos,
    prompts: [(given) => model.chat(list, { ...given, ...template })],
    echoes: [''],
    tools: template.tools !== undefined,
  });
}

/**
 * @param {Model} model
 * @param {unknown} body
 * @param {{ signal?: AbortSignal }} [request]
 * @param {Setting} [setting]
 * @returns {Promise<any>}
 */
export async function complete(model, body, { signal } = {}, { name, limits = {} } = {}) {
  const fields = new Fields(body);
  const { options, ...rest } = common(fields, limits);
  const list = fields.any('prompt') === undefined ? [''] : texts(fields, 'prompt');
  if (list.length * rest.n > (limits.n ?? Infinity))
    throw new FieldError('prompt', `asks for more than ${limits.n} choices together with n`);
  fields.refuse('suffix');
  if ((fields.whole('best_of', 1, 2 ** 32) ?? rest.n) !== rest.n)
    throw new FieldError('best_of', 'must be the same as n');
  const logprobs = fields.whole('logprobs', 0, 5);
  if (logprobs) throw new FieldError('logprobs', 'must be 0: only of chosen tokens are they known');
  const echo = fields.boolean('echo') ?? false;
  if (echo && logprobs !== undefined) throw new FieldError('echo', 'does not go with logprobs');
  const most = Math.min(TEXT_TOKENS, limits.maxTokens ?? TEXT_TOKENS);
  return answer(signal, {
    ...rest,
    options: {
      ...options,
      logprobs: logprobs !== undefined,
      maxTokens: maxTokens(fields, limits, 'max_tokens') ?? most,
    },
    shape: new TextShape(nameOf(model, name), logprobs !== undefined),
    eos: model.info.tokenizer?.eos,
    prompts: list.map((prompt) => (given) => model.stream(prompt, given)),
    echoes: await Promise.all(list.map((prompt) => (echo ? textOf(model, prompt) : ''))),
    tools: false,
  });
}

/**
 * What is in messages, `model.chat` checks. Templates know the role of a developer by its old name.
 * @param {Fields} fields
 * @returns {ChatMessage[]}
 */
function messages(fields) {
  const given = fields.any('messages');
  if (!Array.isArray(given) || given.length === 0)
    throw new FieldError('messages', 'must be a list that is not empty');
  return given.map((each) => (each?.role === 'developer' ? { ...each, role: 'system' } : each));
}

/** @param {Fields} fields @returns {TemplateOptions} */
function templateOptions(fields) {
  const choice = fields.any('tool_choice') ?? 'auto';
  if (choice !== 'auto' && choice !== 'none')
    throw new FieldError('tool_choice', 'can be auto or none only');
  const tools = choice === 'none' ? undefined : fields.any('tools');
  // So do other servers call them.
  const variables = fields.any('chat_template_kwargs');
  return { ...(tools && { tools }), ...(variables && { templateVariables: variables }) };
}

/** @param {Model} model @param {string | undefined} name */
export const nameOf = (model, name) => name ?? (model.info.name || 'halfbyte');

/** @param {Model} model @param {string | number[]} prompt */
const textOf = (model, prompt) =>
  typeof prompt === 'string' ? prompt : model.detokenize(prompt, { special: true });

/** @param {AbortSignal | undefined} signal @param {Job} job */
async function answer(signal, job) {
  if (signal?.aborted) throw abortError(signal);
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const unlisten = () => signal?.removeEventListener('abort', onAbort);
  if (job.stream) return begin(chunks(job, controller.signal, unlisten), controller);
  try {
    return await whole(job, controller.signal);
  } finally {
    unlisten();
  }
}

/** @param {Job} job @param {AbortSignal} signal */
async function whole(job, signal) {
  const { shape } = job;
  const choices = Array.from({ length: job.prompts.length * job.n }, () => ({
    text: '',
    entries: /** @type {Entry[]} */ ([]),
    calls: /** @type {ToolCall[]} */ ([]),
    finish: /** @type {FinishReason} */ ('stop'),
  }));
  const count = new Count();
  for await (const { index, text, entries, calls, finish, usage } of steps(job, signal)) {
    const choice = choices[index];
    choice.text += text;
    if (entries) choice.entries.push(...entries);
    if (calls) choice.calls.push(...calls);
    if (finish) choice.finish = finish;
    if (usage) count.add(usage, index % job.n === 0);
  }
  if (signal.aborted) throw abortError(signal);
  return shape.whole(choices, count.usage);
}

/**
 * @param {Job} job
 * @param {AbortSignal} signal
 * @param {() => void} cleanUp
 */
async function* chunks(job, signal, cleanUp) {
  const { shape, includeUsage } = job;
  const extra = includeUsage ? { usage: null } : {};
  const count = new Count();
  let begun = -1; // the choice of the last chunk
  let called = 0; // its calls so far
  try {
    for await (const step of steps(job, signal)) {
      const { index, text, entries, calls = [], finish, usage } = step;
      if (index !== begun) {
        begun = index;
        called = 0;
        const first = shape.first(index);
        if (first) yield { ...first, ...extra };
      }
      if (text || entries?.length) yield { ...shape.chunk(index, text, entries), ...extra };
      if (shape instanceof ChatShape)
        for (const call of calls) yield { ...shape.call(index, called++, call), ...extra };
      if (finish) yield { ...shape.last(index, finish), ...extra };
      if (usage) count.add(usage, index % job.n === 0);
    }
    if (includeUsage && !signal.aborted) yield { ...shape.empty(), usage: count.usage };
  } finally {
    cleanUp();
  }
}

/** Adds up the tokens of choices; those of a prompt count once. */
class Count {
  #prompt = 0;
  #cached = 0;
  #completion = 0;

  /** @param {StreamEnd['usage']} usage @param {boolean} newPrompt */
  add({ promptTokens, cachedTokens, completionTokens }, newPrompt) {
    if (newPrompt) this.#prompt += promptTokens;
    if (newPrompt) this.#cached += cachedTokens;
    this.#completion += completionTokens;
  }

  /** @returns {Usage} */
  get usage() {
    return {
      prompt_tokens: this.#prompt,
      completion_tokens: this.#completion,
      total_tokens: this.#prompt + this.#completion,
      prompt_tokens_details: { cached_tokens: this.#cached },
    };
  }
}
