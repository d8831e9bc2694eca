#!/usr/bin/env node
// halfbyte on the command line of Node: the WebAssembly core with the flags of the native program.
import { COMMANDS } from './cli/commands.js';
import { UsageError, commandHelp, help, parse } from './cli/usage.js';
import { ArgumentError, HalfbyteError } from './index.js';

const FAILED = 1;
const USAGE = 2;

/** @param {string[]} args @returns {Promise<number>} the exit code */
async function main([name, ...args]) {
  if (name === undefined || name === '--help' || name === '-h') {
    (name ? process.stdout : process.stderr).write(help(COMMANDS));
    return name ? 0 : USAGE;
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command) throw new UsageError(`there is no command '${name}'`);
    const { values, operands } = parse(name, command, args);
    if (values.help) process.stdout.write(commandHelp(name, command));
    else await command.run(values, ...operands);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`halfbyte: ${error.message}\nSee halfbyte --help.\n`);
      return USAGE;
    }
    if (!(error instanceof HalfbyteError)) throw error;
    process.stderr.write(`halfbyte: ${error.message}\n`);
    return error instanceof ArgumentError ? USAGE : FAILED;
  }
}

// A reader that goes away, as head does, is no failure.
process.stdout.on('error', (error) => {
  if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPIPE') throw error;
  process.exit(0);
});
process.exitCode = await main(process.argv.slice(2));
