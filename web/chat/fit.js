// What is kept of a text that outgrows the context: three quarters of the context, read anew at new
// positions, so that what follows is what would follow those tokens as a prompt.
import { ArgumentError, ContextFullError } from '../generated.js';

/** @import { Conversation } from './messages.js' */

/**
 * @typedef {'error' | 'shift' | 'truncateMiddle'} ContextPolicy
 * What happens to a text that outgrows the context. `error`: a prompt is refused, a generation ends
 * with the finishReason `context`. `shift`: the oldest tokens (but for one that begins every text)
 * are left out. `truncateMiddle`: the first quarter of what is kept stays, and what follows it is
 * left out. Of a conversation whole turns are left out, and never a system prompt, as far as that
 * suffices. Without `maxTokens` a generation then ends only when the model ends it.
 */

/**
 * @typedef {string | number[] | Conversation} Prompt
 *
 * @typedef {object} FittingPrompt
 * @property {number[]} tokens
 * @property {number} droppedTokens how many were left out of it
 * @property {number | undefined} bos the token that begins every text
 */

/**
 * A prompt as tokens, as many as fit the context.
 * @param {Prompt} prompt
 * @param {number} contextLength
 * @param {{ policy: ContextPolicy, bos: number | undefined,
 *   tokensOf: (prompt: Prompt) => Promise<number[]> }} how
 * @returns {Promise<FittingPrompt>}
 */
export async function fitPrompt(prompt, contextLength, { policy, bos, tokensOf }) {
  const whole = await tokensOf(prompt);
  if (whole.length === 0) throw new ArgumentError('the prompt has no tokens');
  if (whole.length <= contextLength) return { tokens: whole, droppedTokens: 0, bos };
  if (policy === 'error')
    throw new ContextFullError(
      `the prompt has ${whole.length} tokens and the context ${contextLength}: load the model with ` +
        'a longer contextLength, or choose a contextPolicy',
    );
  let tokens = whole;
  if (typeof prompt === 'object' && !Array.isArray(prompt))
    tokens = await fitConversation(prompt, contextLength, policy, tokensOf);
  if (tokens.length > keptLength(contextLength))
    tokens = fitTokens(tokens, contextLength, policy, bos);
  return { tokens, droppedTokens: whole.length - tokens.length, bos };
}

/** Tokens that are kept of what does not fit. @param {number} contextLength */
const keptLength = (contextLength) =>
  contextLength - Math.max(1, Math.floor(contextLength / 4));

/**
 * @param {readonly number[]} tokens more than are kept
 * @param {number} contextLength
 * @param {ContextPolicy} policy
 * @param {number | undefined} bos
 * @returns {number[]}
 */
export function fitTokens(tokens, contextLength, policy, bos) {
  const kept = keptLength(contextLength);
  const first = tokens[0] === bos ? 1 : 0;
  const head = policy === 'shift' ? first : Math.max(first, Math.floor(kept / 4));
  if (head >= kept)
    throw new ContextFullError(`a context of ${contextLength} positions is too short to leave any out`);
  return [...tokens.slice(0, head), ...tokens.slice(tokens.length - (kept - head))];
}

/**
 * The longest version of a conversation that fits, by its tokens; the shortest if none does.
 * @param {Conversation} whole that does not fit
 * @param {number} contextLength
 * @param {ContextPolicy} policy
 * @param {(conversation: Conversation) => Promise<number[]>} tokensOf
 */
async function fitConversation(whole, contextLength, policy, tokensOf) {
  const { messages } = whole.given;
  const begins = turns(messages);
  const first = policy === 'shift' ? 0 : 1; // turn that may be left out
  const from = begins[first];
  const without = (/** @type {number} */ count) =>
    tokensOf({
      ...whole,
      given: {
        ...whole.given,
        messages: [...messages.slice(0, from), ...messages.slice(begins[first + count])],
      },
    });
  let [least, most] = [1, begins.length - 1 - first];
  if (most < least) return tokensOf(whole);
  let best = await without(most);
  while (least < most) {
    const middle = (least + most) >> 1;
    const tokens = await without(middle);
    if (tokens.length <= keptLength(contextLength)) [most, best] = [middle, tokens];
    else least = middle + 1;
  }
  return best;
}

/** Where the turns of a conversation begin: at what a user says. @param {{ role: string }[]} messages */
function turns(messages) {
  return [...messages.keys()].filter((i) => messages[i].role === 'user');
}
