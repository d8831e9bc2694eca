// Conversations in JSON Lines become prompts, as a model's chat template writes them.
import { conversation } from '../chat/messages.js';
import { Renderer } from '../chat/renderer.js';
import { HalfbyteError, NoTemplateError } from '../error.js';
import { ArgumentError } from '../generated.js';

const TEMPLATE = 'tokenizer.chat_template';

/**
 * @param {string} content of which each line is a list of messages, or an object with `messages` and
 *   perhaps `tools`
 * @param {object} how
 * @param {string} how.file its name, for errors
 * @param {import('../index.js').Inspection} how.model
 * @param {string} [how.template] instead of the model's own
 * @param {boolean} [how.generationPrompt]
 * @returns {AsyncGenerator<string>}
 */
export async function* renderLines(content, { file, model, template, generationPrompt = false }) {
  const renderer = new Renderer();
  const waiting = setInterval(() => {}, 60_000); // the renderer's worker keeps no process alive
  const { bos = '', eos = '', unknown = '' } = model.specialTokens;
  const own = { bos_token: bos, eos_token: eos, unk_token: unknown };
  try {
    for (const [i, line] of content.split('\n').entries()) {
      if (line.trim() === '') continue;
      try {
        const { messages, tools } = conversationOf(line);
        const source = template ?? templateOf(model.metadata, tools !== undefined);
        const options = { tools, addGenerationPrompt: generationPrompt };
        const { given } = conversation(messages, options);
        // No texts are kept apart from control tokens: the file to calibrate with is all one text.
        yield (await renderer.render({ source, controls: [], given, own })).text;
      } catch (error) {
        if (error instanceof HalfbyteError)
          error.message = `${file}, line ${i + 1}: ${error.message}`;
        throw error;
      }
    }
  } finally {
    clearInterval(waiting);
    await renderer.end();
  }
}

/** @param {string} line @returns {{ messages: unknown, tools?: object[] }} */
function conversationOf(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new ArgumentError('this is no JSON', { cause });
  }
  if (Array.isArray(value)) return { messages: value };
  if (Array.isArray(value?.messages))
    return { messages: value.messages, tools: value.tools ?? undefined };
  throw new ArgumentError('neither a list of messages nor an object with "messages"');
}

/** @param {Record<string, unknown>} metadata @param {boolean} tools */
function templateOf(metadata, tools) {
  const template = (tools && metadata[`${TEMPLATE}.tool_use`]) || metadata[TEMPLATE];
  if (typeof template === 'string') return template;
  throw new NoTemplateError(
    'the model has no chat template (tokenizer.chat_template): give one with --chat-template',
  );
}
