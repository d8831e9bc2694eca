// From the Vercel AI SDK's prompts to what chat templates know.
import { ArgumentError } from '../generated.js';

/** @import { PromptMessage, PromptPart } from '../ai-sdk.js' */
/** @import { ChatMessage } from '../chat/messages.js' */

/**
 * @param {PromptMessage[]} prompt
 * @returns {ChatMessage[]}
 */
export function chatMessages(prompt) {
  return prompt.flatMap(({ role, content }, index) => {
    if (role === 'system') return [{ role, content: String(content) }];
    const parts = /** @type {PromptPart[]} */ (content);
    if (role === 'user') return [{ role, content: textOf(parts, index) }];
    if (role === 'assistant') return [answer(parts, index)];
    if (role === 'tool') return parts.map((part) => toolAnswer(part, index));
    throw new ArgumentError(`message ${index} has the role ${role}, which no chat template knows`);
  });
}

/** All texts of a prompt as one, for a model that only continues texts. @param {PromptMessage[]} prompt */
export function plainText(prompt) {
  return chatMessages(prompt)
    .map(({ content }) => content)
    .filter(Boolean)
    .join('\n\n');
}

/** @param {PromptPart[]} parts @param {number} index */
function textOf(parts, index) {
  return parts.map((part) => (part.type === 'text' ? part.text : refuse(part, index))).join('');
}

/** @param {PromptPart[]} parts @param {number} index @returns {ChatMessage} */
function answer(parts, index) {
  const of = (/** @type {string} */ type) => parts.filter((part) => part.type === type);
  const texts = parts.filter(({ type }) => type !== 'reasoning' && type !== 'tool-call');
  const reasoning = of('reasoning').map(({ text }) => text);
  const calls = of('tool-call').map(({ toolCallId, toolName, input }) => ({
    id: toolCallId,
    type: 'function',
    function: { name: toolName, arguments: input },
  }));
  return {
    role: 'assistant',
    content: textOf(texts, index),
    ...(reasoning.length > 0 && { reasoning_content: reasoning.join('') }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** @param {PromptPart} part @param {number} index @returns {ChatMessage} */
function toolAnswer(part, index) {
  if (part.type !== 'tool-result') return refuse(part, index);
  const { toolCallId, toolName, output } = part;
  return { role: 'tool', tool_call_id: toolCallId, name: toolName, content: outputOf(output, index) };
}

/** @param {{ type: string, value?: any, reason?: string }} output @param {number} index @returns {string} */
function outputOf({ type, value, reason }, index) {
  if (type === 'text' || type === 'error-text') return value;
  if (type === 'execution-denied') return reason ?? 'the call was not allowed';
  return type === 'content' ? textOf(value, index) : JSON.stringify(value);
}

/** @param {PromptPart} part @param {number} index @returns {never} */
function refuse({ type, mediaType }, index) {
  const what = mediaType ? `${type} (${mediaType})` : type;
  throw new ArgumentError(`message ${index} holds a part of type ${what}; these models read texts`);
}
