// Checks what a caller gives to a chat and brings it into the form that templates know.
import { ArgumentError } from '../generated.js';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];
const MOST_MESSAGES = 10_000;
const MOST_CHARACTERS = 4 << 20;
const MOST_DEPTH = 32;

/**
 * A message of a conversation, as in OpenAI's interface. Further fields go to the template.
 * @typedef {object} ChatMessage
 * @property {'system' | 'developer' | 'user' | 'assistant' | 'tool'} role
 * @property {string | { type: 'text', text: string }[] | null} [content]
 * @property {object[]} [tool_calls] of an assistant; `arguments` as an object or as JSON
 * @property {string} [tool_call_id] of a tool's answer
 * @property {string} [name]
 */

/**
 * What a chat template is given besides the messages.
 * @typedef {object} TemplateOptions
 * @property {object[]} [tools] functions that the model may call, as JSON schemas
 * @property {string} [chatTemplate] a Jinja template instead of the model's own
 * @property {boolean} [addGenerationPrompt] end with what begins an answer; true unless given
 * @property {Record<string, unknown>} [templateVariables] further variables of the template, such as
 *   `enable_thinking`
 */

/**
 * What is to be rendered, checked.
 * @typedef {object} Conversation
 * @property {string | undefined} template
 * @property {Record<string, any>} given variables of the template
 */

/**
 * @param {unknown} messages
 * @param {TemplateOptions} options
 * @returns {Conversation}
 */
export function conversation(messages, options) {
  const { tools, chatTemplate, addGenerationPrompt = true, templateVariables = {} } = options;
  if (!Array.isArray(messages) || messages.length === 0 || messages.length > MOST_MESSAGES)
    throw new ArgumentError(`messages must be a list of 1 to ${MOST_MESSAGES} messages`);
  if (chatTemplate !== undefined && typeof chatTemplate !== 'string')
    throw new ArgumentError('chatTemplate must be the text of a Jinja template');
  if (tools !== undefined && !Array.isArray(tools))
    throw new ArgumentError('tools must be a list of objects');
  if (typeof templateVariables !== 'object' || templateVariables === null)
    throw new ArgumentError('templateVariables must be an object');
  const copy = copier();
  const variables = copy('templateVariables', templateVariables);
  for (const name of Object.keys(variables))
    if (!/^[a-z]\w*$/i.test(name))
      throw new ArgumentError(`templateVariables: '${name}' is not the name of a variable`);
  return {
    template: chatTemplate,
    given: {
      ...variables,
      messages: messages.map((each, i) => message(`messages[${i}]`, copy(`messages[${i}]`, each))),
      tools: tools && tools.length > 0 ? copy('tools', tools) : null,
      add_generation_prompt: Boolean(addGenerationPrompt),
    },
  };
}

/** @param {string} name @param {any} given @returns {any} */
function message(name, given) {
  if (typeof given !== 'object' || given === null || !ROLES.includes(given.role))
    throw new ArgumentError(`${name}.role must be one of ${ROLES.join(', ')}, not ${given?.role}`);
  const content = contentOf(name, given.content);
  const calls = given.tool_calls;
  if (calls !== undefined && calls !== null && !Array.isArray(calls))
    throw new ArgumentError(`${name}.tool_calls must be a list`);
  return { ...given, content, ...(calls ? { tool_calls: calls.map(toolCall) } : {}) };
}

/** @param {string} name @param {any} content @returns {string} */
function contentOf(name, content) {
  if (typeof content === 'string') return content;
  if (content === undefined || content === null) return '';
  if (!Array.isArray(content))
    throw new ArgumentError(`${name}.content must be a text or a list of parts`);
  return content
    .map((part, i) => {
      if (part?.type !== 'text' || typeof part.text !== 'string')
        throw new ArgumentError(`${name}.content[${i}] is not a text: the model reads nothing else`);
      return part.text;
    })
    .join('');
}

/** Templates want the arguments of a call as an object; callers have them as JSON. @param {any} call */
function toolCall(call) {
  const text = call?.function?.arguments;
  if (typeof text !== 'string') return call;
  try {
    return { ...call, function: { ...call.function, arguments: JSON.parse(text) } };
  } catch {
    return call;
  }
}

/** Copies JSON values, all in all so large at most. @returns {(name: string, value: any) => any} */
function copier() {
  let characters = 0;
  const count = (/** @type {string} */ text) => {
    characters += text.length;
    if (characters > MOST_CHARACTERS)
      throw new ArgumentError(`the conversation has more than ${MOST_CHARACTERS} characters`);
    return text;
  };
  /** @param {string} name @param {any} value @param {number} depth @returns {any} */
  const copy = (name, value, depth) => {
    if (depth > MOST_DEPTH) throw new ArgumentError(`${name} is nested more than ${MOST_DEPTH} deep`);
    if (typeof value === 'string') return count(value);
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (Array.isArray(value)) return value.map((each, i) => copy(`${name}[${i}]`, each, depth + 1));
    if (typeof value !== 'object') throw new ArgumentError(`${name} is not JSON: ${String(value)}`);
    const entries = Object.entries(value).filter(([, each]) => each !== undefined);
    return Object.fromEntries(
      entries.map(([key, each]) => [count(key), copy(`${name}.${key}`, each, depth + 1)]),
    );
  };
  return (name, value) => copy(name, value, 0);
}
