// Turns the messages and tools of an OpenAI chat into those that a model's template takes.
import { FieldError, checkDepth, shown } from './request.js';

/** @import { Fields } from './request.js' */

/**
 * A message as templates know it.
 * @typedef {{ role: string, content: string } & Record<string, unknown>} Message
 */

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];

/** @param {Fields} fields @returns {Message[]} */
export function messages(fields) {
  const given = fields.any('messages');
  if (!Array.isArray(given) || given.length === 0)
    throw new FieldError('messages', 'must be a list that is not empty');
  checkDepth('messages', given);
  return given.map((message, i) => messageOf(`messages[${i}]`, message));
}

/** @param {string} at @param {any} message @returns {Message} */
function messageOf(at, message) {
  if (typeof message !== 'object' || message === null)
    throw new FieldError(at, `must be an object, not ${shown(message)}`);
  const { role, content, name, tool_calls: calls, tool_call_id: callId } = message;
  if (!ROLES.includes(role))
    throw new FieldError(`${at}.role`, `must be one of ${ROLES.join(', ')}, not ${shown(role)}`);
  const called = Array.isArray(calls) && calls.length > 0;
  if ((content ?? undefined) === undefined && !(role === 'assistant' && called))
    throw new FieldError(`${at}.content`, 'is missing');
  return {
    role: role === 'developer' ? 'system' : role,
    content: contentOf(`${at}.content`, content ?? ''),
    ...(typeof name === 'string' && { name }),
    ...(typeof callId === 'string' && { tool_call_id: callId }),
    ...(called && { tool_calls: calls.map((call, i) => callOf(`${at}.tool_calls[${i}]`, call)) }),
  };
}

/** @param {string} at @param {unknown} content a text, or a list of parts that are texts */
function contentOf(at, content) {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw new FieldError(at, `must be a text, not ${shown(content)}`);
  return content
    .map((part, i) => {
      if (part?.type !== 'text' || typeof part.text !== 'string')
        throw new FieldError(`${at}[${i}]`, 'must be of the type text: nothing else is read');
      return part.text;
    })
    .join('');
}

/** Templates write the arguments as JSON themselves. @param {string} at @param {any} call */
function callOf(at, call) {
  const name = call?.function?.name;
  if (typeof name !== 'string') throw new FieldError(`${at}.function.name`, 'must be a text');
  const { id, function: called } = call;
  return { id, type: 'function', function: { name, arguments: argumentsOf(called.arguments) } };
}

/** @param {unknown} given */
function argumentsOf(given) {
  try {
    const value = typeof given === 'string' ? JSON.parse(given) : given;
    checkDepth('arguments', value);
    return value ?? {};
  } catch {
    return String(given);
  }
}

/** @param {Fields} fields @returns {object[] | undefined} */
export function tools(fields) {
  const given = fields.any('tools');
  const choice = fields.any('tool_choice');
  if (choice !== undefined && choice !== 'auto' && choice !== 'none')
    throw new FieldError('tool_choice', 'can be auto or none only');
  if (given === undefined || choice === 'none') return undefined;
  if (!Array.isArray(given)) throw new FieldError('tools', 'must be a list');
  checkDepth('tools', given);
  given.forEach((tool, i) => {
    if (tool?.type !== 'function' || typeof tool.function?.name !== 'string')
      throw new FieldError(`tools[${i}]`, 'must be a function with a name');
  });
  return given.length > 0 ? given : undefined;
}
