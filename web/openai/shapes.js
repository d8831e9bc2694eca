// The objects in which OpenAI tells completions, whole and in chunks.

/** @import { ChatCompletion, ChatCompletionChunk, ChatLogprobs, Completion, Entry, FinishReason, TextLogprobs, ToolCall, Usage } from './types.js' */

/** @typedef {{ text: string, entries: Entry[], calls: ToolCall[], finish: FinishReason }} Choice */

/** What the answers to one request have in common. */
class Shape {
  #id;
  #created = Math.floor(Date.now() / 1000);
  #model;
  #logprobs;

  /** @param {string} prefix of the id @param {string} model @param {boolean} logprobs */
  constructor(prefix, model, logprobs) {
    this.#id = `${prefix}-${randomHex()}`;
    this.#model = model;
    this.#logprobs = logprobs;
  }

  get head() {
    return { id: this.#id, created: this.#created, model: this.#model };
  }

  /** Whether choices come with log-probabilities. */
  get logprobs() {
    return this.#logprobs;
  }
}

export class ChatShape extends Shape {
  /** @param {string} model @param {boolean} logprobs */
  constructor(model, logprobs) {
    super('chatcmpl', model, logprobs);
  }

  /** @param {Choice[]} choices @param {Usage} usage @returns {ChatCompletion} */
  whole(choices, usage) {
    return {
      ...this.head,
      object: 'chat.completion',
      choices: choices.map(({ text, entries, calls, finish }, index) => ({
        index,
        message:
          calls.length > 0
            ? { role: 'assistant', content: text.trim() || null, refusal: null, tool_calls: calls }
            : { role: 'assistant', content: text, refusal: null },
        logprobs: this.logprobs ? chatLogprobs(entries) : null,
        finish_reason: finish,
      })),
      usage,
    };
  }

  /** @param {number} index */
  first(index) {
    return this.#chunk(index, { role: 'assistant', content: '', refusal: null }, null, null);
  }

  /** @param {number} index @param {string} text @param {Entry[] | undefined} entries */
  chunk(index, text, entries) {
    return this.#chunk(index, { content: text }, entries ? chatLogprobs(entries) : null, null);
  }

  /** @param {number} index @param {number} number of the choice's calls @param {ToolCall} call */
  call(index, number, call) {
    return this.#chunk(index, { tool_calls: [{ index: number, ...call }] }, null, null);
  }

  /** @param {number} index @param {FinishReason} finish */
  last(index, finish) {
    return this.#chunk(index, {}, null, finish);
  }

  /** @returns {ChatCompletionChunk} */
  empty() {
    return { ...this.head, object: 'chat.completion.chunk', choices: [] };
  }

  /**
   * @param {number} index
   * @param {ChatCompletionChunk['choices'][0]['delta']} delta
   * @param {ChatLogprobs | null} logprobs
   * @param {FinishReason | null} finish
   * @returns {ChatCompletionChunk}
   */
  #chunk(index, delta, logprobs, finish) {
    return { ...this.empty(), choices: [{ index, delta, logprobs, finish_reason: finish }] };
  }
}

export class TextShape extends Shape {
  /** Length of each choice's text so far. @type {number[]} */ #lengths = [];

  /** @param {string} model @param {boolean} logprobs */
  constructor(model, logprobs) {
    super('cmpl', model, logprobs);
  }

  /** @param {Choice[]} choices @param {Usage} usage @returns {Completion} */
  whole(choices, usage) {
    return {
      ...this.empty(),
      choices: choices.map(({ text, entries, finish }, index) => ({
        index,
        text,
        logprobs: this.logprobs ? textLogprobs(entries, 0) : null,
        finish_reason: finish,
      })),
      usage,
    };
  }

  /** A choice needs no word before its text. @returns {undefined} */
  first() {
    return undefined;
  }

  /** @param {number} index @param {string} text @param {Entry[] | undefined} entries */
  chunk(index, text, entries) {
    const offset = this.#lengths[index] ?? 0;
    this.#lengths[index] = offset + text.length;
    return this.#chunk(index, text, entries ? textLogprobs(entries, offset) : null, null);
  }

  /** @param {number} index @param {FinishReason} finish */
  last(index, finish) {
    return this.#chunk(index, '', null, finish);
  }

  /** @returns {Completion} */
  empty() {
    return { ...this.head, object: 'text_completion', choices: [] };
  }

  /**
   * @param {number} index
   * @param {string} text
   * @param {TextLogprobs | null} logprobs
   * @param {FinishReason | null} finish
   * @returns {Completion}
   */
  #chunk(index, text, logprobs, finish) {
    return { ...this.empty(), choices: [{ index, text, logprobs, finish_reason: finish }] };
  }
}

/** 128 random bits; randomUUID would need a page that came by HTTPS. */
export function randomHex() {
  const words = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
}

/** @param {Entry[]} entries @returns {ChatLogprobs} */
function chatLogprobs(entries) {
  const encoder = new TextEncoder();
  return {
    content: entries.map(({ text, logprob }) => ({
      token: text,
      logprob,
      bytes: [...encoder.encode(text)],
      top_logprobs: [],
    })),
    refusal: null,
  };
}

/** @param {Entry[]} entries @param {number} offset where they begin in the choice's text */
function textLogprobs(entries, offset) {
  return {
    tokens: entries.map(({ text }) => text),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: null,
    text_offset: entries.map(({ text }) => (offset += text.length) - text.length),
  };
}
