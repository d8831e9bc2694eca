// What requests and answers of the OpenAI interface look like.
/** @import { ContextPolicy } from '../chat/fit.js' */
/** @import { ChatMessage } from '../chat/messages.js' */

/**
 * @typedef {'stop' | 'length' | 'tool_calls'} FinishReason `length`: max_tokens, or the context is
 *   full; `tool_calls`: the model waits for what its calls give
 */

/**
 * A call of a tool.
 * @typedef {object} ToolCall
 * @property {string} id
 * @property {'function'} type
 * @property {{ name: string, arguments: string }} function `arguments`: JSON, as the model wrote it
 */

/**
 * Tokens of a request and its answer.
 * @typedef {object} Usage
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 * @property {number} total_tokens
 * @property {{ cached_tokens: number }} prompt_tokens_details tokens that need not be read again
 */

/**
 * A token's log-probability with the text that became certain with it.
 * @typedef {{ text: string, logprob: number }} Entry
 */

/**
 * What chat and text completions have in common. A field that is left out or null takes the default
 * of `model.stream`.
 * @typedef {object} CommonRequest
 * @property {string} [model] is ignored: there is one model
 * @property {number | null} [n] how many choices; 1 unless given
 * @property {{ include_usage?: boolean | null } | null} [stream_options] `include_usage`: a last
 *   chunk without choices tells the usage
 * @property {number | null} [temperature]
 * @property {number | null} [top_p]
 * @property {number | null} [top_k] not in OpenAI's interface
 * @property {number | null} [min_p] not in OpenAI's interface
 * @property {number | null} [repetition_penalty] not in OpenAI's interface
 * @property {number | null} [frequency_penalty]
 * @property {number | null} [presence_penalty]
 * @property {Record<string, number> | null} [logit_bias]
 * @property {string | string[] | null} [stop]
 * @property {number | null} [seed] the same seed gives the same choices
 * @property {boolean | null} [ignore_eos] not in OpenAI's interface
 * @property {ContextPolicy | null} [context_policy] what happens to a text that outgrows the
 *   context; `error` unless given; not in OpenAI's interface
 * @property {number | null} [max_tokens]
 * @property {string} [user] is ignored
 */

/**
 * What `chat.completions.create` takes.
 * @typedef {CommonRequest & {
 *   messages: ChatMessage[],
 *   max_completion_tokens?: number | null,
 *   logprobs?: boolean | null,
 *   tools?: object[] | null,
 *   tool_choice?: 'auto' | 'none' | null,
 *   chat_template_kwargs?: Record<string, unknown> | null,
 * }} ChatRequest
 */

/**
 * @typedef {CommonRequest & {
 *   prompt: string | string[] | number[] | number[][] | null,
 *   logprobs?: 0 | null,
 *   echo?: boolean | null,
 * }} CompletionRequest
 * `max_tokens` is 16 unless given, as OpenAI has it.
 */

/**
 * What `embeddings.create` takes.
 * @typedef {object} EmbeddingRequest
 * @property {string} [model] is ignored: there is one model
 * @property {string | string[] | number[] | number[][]} input
 * @property {'float' | 'base64' | null} [encoding_format]
 * @property {number | null} [dimensions] must be the model's width
 * @property {'mean' | 'last' | null} [pooling] not in OpenAI's interface; mean unless given
 */

/**
 * Log-probabilities of a chat answer, token by token.
 * @typedef {object} ChatLogprobs
 * @property {{ token: string, logprob: number, bytes: number[], top_logprobs: [] }[]} content
 * @property {null} refusal
 */

/**
 * A whole answer in a conversation.
 * @typedef {object} ChatCompletion
 * @property {string} id
 * @property {'chat.completion'} object
 * @property {number} created
 * @property {string} model
 * @property {{
 *   index: number,
 *   message:
 *     { role: 'assistant', content: string | null, refusal: null, tool_calls?: ToolCall[] },
 *   logprobs: ChatLogprobs | null,
 *   finish_reason: FinishReason,
 * }[]} choices
 * @property {Usage} usage
 */

/**
 * A piece of a streamed answer in a conversation.
 * @typedef {object} ChatCompletionChunk
 * @property {string} id
 * @property {'chat.completion.chunk'} object
 * @property {number} created
 * @property {string} model
 * @property {{
 *   index: number,
 *   delta: {
 *     role?: 'assistant', content?: string, refusal?: null,
 *     tool_calls?: (ToolCall & { index: number })[],
 *   },
 *   logprobs: ChatLogprobs | null,
 *   finish_reason: FinishReason | null,
 * }[]} choices
 * @property {Usage | null} [usage]
 */

/**
 * Log-probabilities of a completion, token by token.
 * @typedef {object} TextLogprobs
 * @property {string[]} tokens
 * @property {number[]} token_logprobs
 * @property {null} top_logprobs
 * @property {number[]} text_offset
 */

/**
 * A text completion or a chunk of one.
 * @typedef {object} Completion
 * @property {string} id
 * @property {'text_completion'} object
 * @property {number} created
 * @property {string} model
 * @property {{
 *   index: number,
 *   text: string,
 *   logprobs: TextLogprobs | null,
 *   finish_reason: FinishReason | null,
 * }[]} choices
 * @property {Usage | null} [usage]
 */

/**
 * The embeddings of the texts, in their order.
 * @typedef {object} EmbeddingList
 * @property {'list'} object
 * @property {{ object: 'embedding', index: number, embedding: number[] | string }[]} data
 * @property {string} model
 * @property {{ prompt_tokens: number, total_tokens: number }} usage
 */

export {};
