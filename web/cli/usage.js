// How a command line is read, and the help that tells it.
import { parseArgs } from 'node:util';
import { OPTIONS } from './options.js';

/** @import { Command, Values } from './commands.js' */

/** The command line is wrong: what the user is told. */
export class UsageError extends Error {}

/** @param {Record<string, Command>} commands */
export function help(commands) {
  const list = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(10)}${summary}`,
  );
  return (
    'usage: halfbyte COMMAND [options]\n\n' +
    'Runs language models from GGUF files in WebAssembly.\n\n' +
    `commands:\n${list.join('\n')}\n\nSee halfbyte COMMAND --help.\n`
  );
}

/** @param {string} command @param {Command} details */
export function commandHelp(command, { summary, takes, operand }) {
  const lines = [...takes, 'help'].map((option) => {
    const { name = option, short, argument, help } = OPTIONS[option];
    const left = `--${name} ${argument ?? ''}`;
    return `  ${short ? `-${short},` : '   '} ${left.padEnd(24)} ${help}`;
  });
  return (
    `usage: halfbyte ${command} [options]${operand ? ` ${operand}` : ''}\n\n${summary}.\n\n` +
    `options:\n${lines.join('\n')}\n`
  );
}

/**
 * @param {string} name
 * @param {Command} command
 * @param {string[]} args
 * @returns {{ values: Values, operands: string[] }}
 */
export function parse(name, command, args) {
  const taken = new Map(
    [...command.takes, 'help'].map((option) => [OPTIONS[option].name ?? option, OPTIONS[option]]),
  );
  const options = Object.fromEntries(
    [...taken].map(([option, { type, short, multiple }]) => [
      option,
      { type, ...(short && { short }), ...(multiple && { multiple }) },
    ]),
  );
  /** @type {{ values: Values, positionals: string[] }} */
  let parsed;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
  const { values, positionals } = parsed;
  if (positionals.length > (command.operand?.split(' ').length ?? 0))
    throw new UsageError(`${name} has no use for '${positionals.at(-1)}'`);
  for (const [option, given] of Object.entries(values)) {
    try {
      if (typeof given === 'string') values[option] = taken.get(option)?.parse?.(given) ?? given;
    } catch (expected) {
      throw new UsageError(`--${option} takes ${expected}, not '${given}'`);
    }
  }
  return { values, operands: positionals };
}
