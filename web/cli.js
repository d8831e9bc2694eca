#!/usr/bin/env node
// halfbyte on the command line of Node: the WebAssembly core with the flags of the native program.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { benchAllKernels, benchModel } from './cli-bench.js';
import { ArgumentError, HalfbyteError, defaultModel, inspect, load } from './index.js';
import { parityHash } from './parity.js';

const FAILED = 1;
const USAGE = 2;

/**
 * An option: how parseArgs takes it, what it is called in the help, how its text becomes a value.
 * @typedef {object} Option
 * @property {'string' | 'boolean'} type
 * @property {string} [name] if another option than the one of that key is meant
 * @property {string} [short]
 * @property {boolean} [multiple]
 * @property {string} [argument]
 * @property {string} help
 * @property {(text: string) => unknown} [parse] throws a sentence about what is expected
 */

/** @param {string} text */
function whole(text) {
  if (!/^\d+$/.test(text)) throw 'a whole number';
  return Number(text);
}

/** @param {string} text */
function real(text) {
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) throw 'a number';
  return Number(text);
}

/** @param {string} text */
function seed(text) {
  if (!/^\d+$/.test(text)) throw 'a whole number';
  return BigInt(text);
}

/** @param {string} text */
function tokenIds(text) {
  if (!/^\d+(,\d+)*$/.test(text)) throw 'ids with commas between them, as in 1,2,3';
  return text.split(',').map(Number);
}

/** @param {string} text */
function counts(text) {
  if (!/^\d+(,\d+)*$/.test(text)) throw 'numbers with commas between them, as in 1,2';
  return text.split(',').map(Number);
}

/** @param {...string} allowed */
function choice(...allowed) {
  return (/** @type {string} */ text) => {
    if (!allowed.includes(text)) throw allowed.join(', ').replace(/, ([^,]*)$/, ' or $1');
    return text;
  };
}

/** @type {Record<string, Option>} */
const OPTIONS = {
  model: {
    type: 'string',
    short: 'm',
    argument: 'FILE',
    help: 'the model, a GGUF file or its URL (default: the one that comes with halfbyte)',
  },
  prompt: {
    type: 'string',
    short: 'p',
    argument: 'TEXT',
    help: 'the text to begin with; - reads it',
  },
  tokens: { type: 'string', argument: '1,2,3', help: 'the ids of the tokens', parse: tokenIds },
  'max-tokens': {
    type: 'string',
    short: 'n',
    argument: 'N',
    help: 'how many tokens to generate; 0: until the context is full (default 256)',
    parse: whole,
  },
  temp: {
    type: 'string',
    argument: 'T',
    help: 'temperature; 0 takes the likeliest token (default 0.8)',
    parse: real,
  },
  'top-k': {
    type: 'string',
    argument: 'K',
    help: 'keep the K likeliest tokens; 0: all',
    parse: whole,
  },
  'top-p': {
    type: 'string',
    argument: 'P',
    help: 'keep the likeliest tokens that together reach P (default 0.95)',
    parse: real,
  },
  'min-p': {
    type: 'string',
    argument: 'P',
    help: 'drop tokens less likely than P times the likeliest (default 0.05)',
    parse: real,
  },
  'repeat-penalty': {
    type: 'string',
    argument: 'R',
    help: 'divide the logits of recent tokens (default 1: off)',
    parse: real,
  },
  seed: {
    type: 'string',
    argument: 'S',
    help: 'seed of the draws (default: another each time)',
    parse: seed,
  },
  stop: {
    type: 'string',
    multiple: true,
    argument: 'TEXT',
    help: 'end before this text; may be repeated',
  },
  'ignore-eos': { type: 'boolean', help: 'go on after the end of the text' },
  ctx: {
    type: 'string',
    short: 'c',
    argument: 'N',
    help: 'positions of the context',
    parse: whole,
  },
  split: {
    type: 'string',
    argument: 'HOW',
    help: 'how tokens are appended: whole, pieces or single',
    parse: choice('whole', 'pieces', 'single'),
  },
  ids: { type: 'boolean', help: 'print the ids alone, in one line' },
  special: { type: 'boolean', help: 'read control tokens such as <|im_end|> in the text' },
  'no-bos': { type: 'boolean', help: 'do not add the tokens that begin and end a text' },
  tensors: { type: 'boolean', help: 'list the tensors' },
  keys: { type: 'boolean', help: 'list the metadata' },
  threads: {
    type: 'string',
    short: 't',
    argument: 'N',
    help: 'threads (default: one a processor)',
    parse: whole,
  },
  isa: {
    type: 'string',
    argument: 'NAME',
    help: 'instruction set: scalar, simd128 or relaxed',
    parse: choice('scalar', 'simd128', 'relaxed'),
  },
  kv: {
    type: 'string',
    argument: 'TYPE',
    help: 'type of the KV cache: f16 or f32',
    parse: choice('f16', 'f32'),
  },
  stats: { type: 'boolean', help: 'also print sizes, threads and load time' },
  shape: {
    type: 'string',
    argument: 'SHAPE',
    help: 'instead of a model, one with random weights: the name or the sizes E,L,H,KV,F,V',
  },
  type: {
    type: 'string',
    argument: 'TYPE',
    help: 'the type of its matrices, or a mixture (default q4_0); of kernels, the only one',
  },
  'weight-seed': {
    type: 'string',
    name: 'seed',
    argument: 'S',
    help: 'seed of its weights (default 1)',
    parse: seed,
  },
  'thread-counts': {
    type: 'string',
    name: 'threads',
    short: 't',
    argument: '1,2',
    help: 'thread counts to compare (default: 1 and one a processor)',
    parse: counts,
  },
  'prompt-length': {
    type: 'string',
    short: 'p',
    argument: 'N',
    help: 'tokens of the prompt (default 128)',
    parse: whole,
  },
  generate: {
    type: 'string',
    short: 'n',
    argument: 'N',
    help: 'tokens to generate (default 32)',
    parse: whole,
  },
  repeat: {
    type: 'string',
    short: 'r',
    argument: 'N',
    help: 'how often each figure is taken (default 5)',
    parse: whole,
  },
  depth: {
    type: 'string',
    argument: 'N',
    help: 'positions of the context that are full already (default 0)',
    parse: whole,
  },
  json: { type: 'boolean', help: 'print JSON' },
  kernels: { type: 'boolean', help: 'measure each kernel and type alone instead of a model' },
  port: {
    type: 'string',
    argument: 'P',
    help: 'the port to listen on (default 8080; 0 takes a free one)',
    parse: whole,
  },
  host: {
    type: 'string',
    argument: 'H',
    help: 'the address to listen on (default 127.0.0.1; any that others reach needs a key)',
  },
  'api-key': {
    type: 'string',
    argument: 'K',
    help: 'the key that requests must bear (default: HALFBYTE_API_KEY, if that is set)',
  },
  'most-tokens': {
    type: 'string',
    name: 'max-tokens',
    short: 'n',
    argument: 'N',
    help: 'the most tokens that a request may ask for (default 4096)',
    parse: whole,
  },
  help: { type: 'boolean', short: 'h', help: 'show this help' },
};

const COMPUTE = ['model', 'threads', 'isa', 'kv'];
const SAMPLING = [
  ...[
    'max-tokens',
    'temp',
    'top-k',
    'top-p',
    'min-p',
    'repeat-penalty',
    'seed',
    'stop',
    'ignore-eos',
  ],
  ...['ctx', 'stats'],
];

/**
 * @typedef {Record<string, any>} Values
 * @typedef {object} Command
 * @property {string} summary
 * @property {string[]} takes
 * @property {string} [operand]
 * @property {(values: Values, operand: string | undefined) => Promise<void>} run
 */

/** @type {Record<string, Command>} */
const COMMANDS = {
  run: {
    summary: 'Continues a text with a model',
    takes: [...COMPUTE, ...SAMPLING, 'prompt'],
    run,
  },
  inspect: {
    summary: "Prints a model's architecture, sizes, types and needs",
    takes: ['ctx', 'kv', 'tensors', 'keys'],
    operand: 'FILE',
    run: inspectFile,
  },
  tokenize: {
    summary: "Splits a text (- for standard input) into a model's tokens",
    takes: ['model', 'ids', 'special', 'no-bos'],
    operand: 'TEXT',
    run: tokenize,
  },
  parity: {
    summary: 'Prints one SHA-256 of the logits of a text',
    takes: [...COMPUTE, 'tokens', 'prompt', 'split'],
    run: parity,
  },
  bench: {
    summary: 'Measures how fast a model, or each kernel, runs here',
    takes: [
      ...['model', 'shape', 'type', 'weight-seed', 'thread-counts', 'isa', 'kv'],
      ...['prompt-length', 'generate', 'repeat', 'depth', 'json', 'kernels'],
    ],
    run: bench,
  },
  serve: {
    summary: "Speaks OpenAI's interface over HTTP",
    takes: [...COMPUTE, 'ctx', 'port', 'host', 'api-key', 'most-tokens'],
    run: serveModel,
  },
};

// ---- Commands

/** @param {Values} values */
function loadOptions({ threads, isa, kv, ctx }) {
  return { threads, isa, kv, contextLength: ctx, onProgress: progressBar() };
}

/** @param {Values} values */
const modelOf = (values) => values.model ?? defaultModel;

/** @param {string} text */
const textOf = (text) => (text === '-' ? readFileSync(0, 'utf8') : text);

/** @param {Values} values */
async function run(values) {
  const begun = performance.now();
  const model = await load(modelOf(values), loadOptions(values));
  const loadMs = performance.now() - begun;
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  const stream = model.stream(textOf(values.prompt ?? ''), {
    maxTokens: values['max-tokens'] ?? 256,
    temperature: values.temp,
    topK: values['top-k'],
    topP: values['top-p'],
    minP: values['min-p'],
    repetitionPenalty: values['repeat-penalty'],
    seed: values.seed,
    stop: values.stop,
    ignoreEos: values['ignore-eos'],
    signal: interrupt.signal,
  });
  try {
    for await (const part of stream) {
      process.stdout.write(part.text);
      if (part.finishReason === undefined) continue;
      if (process.stdout.isTTY) process.stdout.write('\n');
      const { usage, timings, finishReason } = part;
      process.stderr.write(
        `prompt ${usage.promptTokens} tokens, ${rate(timings.prefillTokensPerSecond)}; ` +
          `generated ${usage.completionTokens} tokens, ${rate(timings.tokensPerSecond)}` +
          `${finishReason === 'context' ? '; the context is full' : ''}\n`,
      );
      if (values.stats) printStats(model, loadMs, part.seed);
    }
  } finally {
    await model.dispose();
  }
}

/**
 * @param {import('./index.js').Model} model
 * @param {number} loadMs
 * @param {number | bigint} seed
 */
function printStats({ info }, loadMs, seed) {
  const { weightBytes, variant, threads, threadsReason, contextLength } = info;
  process.stderr.write(
    `load ${(loadMs / 1000).toFixed(2)} s; weights ${size(weightBytes)}; ${variant}; ` +
      `${threads} threads${threadsReason ? ` (${threadsReason})` : ''}; ` +
      `context ${contextLength}; seed ${seed}\n`,
  );
}

/** @param {Values} values @param {string | undefined} file */
async function inspectFile(values, file) {
  const info = await inspect(file ?? defaultModel, { contextLength: values.ctx, kv: values.kv });
  const { architecture, name, parameters, fileBytes, weightBytes, tensors } = info;
  /** @type {Map<string, { count: number, bytes: number }>} */
  const types = new Map();
  for (const { type, bytes } of tensors) {
    const sum = types.get(type) ?? { count: 0, bytes: 0 };
    types.set(type, { count: sum.count + 1, bytes: sum.bytes + bytes });
  }
  const rows = [
    ['architecture', architecture],
    ['name', name],
    ['layers', info.layers],
    ['width', info.width],
    ['heads', `${info.heads} of ${info.headSize}, ${info.kvHeads} for keys and values`],
    ['feed-forward', info.feedForward],
    ['vocabulary', info.vocabulary],
    ['context', info.trainedContextLength],
    ['parameters', `${(parameters / 1e6).toFixed(2)} M (${parameters})`],
    ['tensors', `${tensors.length}, ${size(fileBytes)}`],
    ...[...types].map(([type, { count, bytes }]) => [`  ${type}`, `${count}, ${size(bytes)}`]),
    ['bits/weight', ((fileBytes * 8) / parameters).toFixed(3)],
    ['weights', `${size(weightBytes)} in memory`],
    ['session', `${size(info.sessionBytes)} at context ${info.contextLength}`],
  ];
  for (const [label, value] of rows)
    print(`${String(label).padEnd(15)}${printable(String(value))}`);
  if (values.keys)
    for (const [key, value] of Object.entries(info.metadata))
      print(`${printable(key)} = ${printable(shown(value))}`);
  if (values.tensors)
    for (const { name, type, dims, bytes } of tensors)
      print(`${printable(name).padEnd(40)} ${type.padEnd(7)} ${dims.join(' x ')}  ${size(bytes)}`);
}

/** @param {import('./gguf.js').MetadataValue} value */
function shown(value) {
  if (typeof value !== 'object') return String(value);
  const more = value.count > value.first.length ? ', ...' : '';
  return `[${value.first.join(', ')}${more}] (${value.count})`;
}

/** @param {Values} values @param {string | undefined} operand */
async function tokenize(values, operand) {
  if (operand === undefined) throw new UsageError('tokenize needs TEXT');
  const model = await load(modelOf(values), { threads: 1 });
  try {
    const ids = await model.tokenize(textOf(operand), {
      bos: !values['no-bos'],
      special: values.special,
    });
    if (values.ids) return print(ids.join(' '));
    const texts = await model.tokenTexts(ids);
    ids.forEach((id, i) => print(`${String(id).padStart(8)}  ${printable(texts[i])}`));
  } finally {
    await model.dispose();
  }
}

/** @param {Values} values */
async function parity(values) {
  if (!values.tokens === !values.prompt) throw new UsageError('parity needs either --tokens or -p');
  const model = await load(modelOf(values), loadOptions(values));
  try {
    const tokens = values.tokens ?? (await model.tokenize(textOf(values.prompt)));
    print(await parityHash(await model.logits(tokens, { split: values.split })));
  } finally {
    await model.dispose();
  }
}

/** @param {Values} values */
async function bench(values) {
  const { model, shape, type, seed, threads, isa, kv, json = false, kernels } = values;
  if (kernels && (model || shape)) throw new UsageError('bench --kernels takes no model');
  if (model && shape) throw new UsageError('bench takes either -m or --shape');
  if (kernels) {
    const types = type && [type];
    process.stdout.write(await benchAllKernels({ counts: threads, types, isa, json }));
    return;
  }
  const args = {
    prompt: values['prompt-length'],
    generate: values.generate,
    repeat: values.repeat,
    depth: values.depth,
  };
  const source = shape ? { shape, type, seed } : modelOf(values);
  const options = { counts: threads, isa, kv, json, onProgress: progressBar() };
  process.stdout.write(await benchModel(source, args, options));
}

/** @param {Values} values */
async function serveModel(values) {
  const { serve } = await import('./serve.js');
  const { port, host, 'api-key': key, 'max-tokens': maxTokens } = values;
  const server = await serve(() => load(modelOf(values), loadOptions(values)), {
    port,
    host,
    apiKey: key ?? (process.env.HALFBYTE_API_KEY || undefined),
    limits: maxTokens === undefined ? undefined : { maxTokens },
    onError: (error) => process.stderr.write(`halfbyte: ${printable(String(error))}\n`),
  });
  const interrupted = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve);
  });
  print(`serving ${printable(server.name)} at ${server.url}/v1`);
  await interrupted;
  await server.close();
}

// ---- Printing

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}

/** Text from a file for a terminal: no control characters. @param {string} text */
function printable(text) {
  return text.replace(/\p{Cc}/gu, '?');
}

/** @param {number} bytes */
function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < 3; unit++) bytes /= 1024;
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

/** @param {number} perSecond */
const rate = (perSecond) => `${perSecond.toFixed(1)} tokens/s`;

/** A function that shows the progress of a load on a terminal, and nothing elsewhere. */
function progressBar() {
  if (!process.stderr.isTTY) return undefined;
  /** @param {{ loaded: number, total?: number, retryInSeconds?: number }} progress */
  return ({ loaded, total, retryInSeconds: retry }) => {
    const done = total ? `${Math.floor((loaded / total) * 100)} %` : size(loaded);
    process.stderr.write(loaded === total ? '\r\x1b[K' : `\rloading ${done}${retry ? `, trying again in ${Math.ceil(retry)} s` : ''}\x1b[K`);
  };
}

// ---- The command line

class UsageError extends Error {}

function help() {
  const list = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(10)}${summary}`,
  );
  return (
    'usage: halfbyte COMMAND [options]\n\n' +
    'Runs language models from GGUF files in WebAssembly.\n\n' +
    `commands:\n${list.join('\n')}\n\nSee halfbyte COMMAND --help.\n`
  );
}

/** @param {string} command @param {Command} details */
function commandHelp(command, { summary, takes, operand }) {
  const lines = [...takes, 'help'].map((option) => {
    const { name = option, short, argument, help } = OPTIONS[option];
    const left = `--${name} ${argument ?? ''}`;
    return `  ${short ? `-${short},` : '   '} ${left.padEnd(20)} ${help}`;
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
 * @returns {{ values: Values, operand: string | undefined }}
 */
function parse(name, command, args) {
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
  if (positionals.length > (command.operand ? 1 : 0))
    throw new UsageError(`${name} has no use for '${positionals.at(-1)}'`);
  for (const [option, given] of Object.entries(values)) {
    try {
      if (typeof given === 'string') values[option] = taken.get(option)?.parse?.(given) ?? given;
    } catch (expected) {
      throw new UsageError(`--${option} takes ${expected}, not '${given}'`);
    }
  }
  return { values, operand: positionals[0] };
}

/** @param {string[]} args @returns {Promise<number>} the exit code */
async function main([name, ...args]) {
  if (name === undefined || name === '--help' || name === '-h') {
    (name ? process.stdout : process.stderr).write(help());
    return name ? 0 : USAGE;
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command) throw new UsageError(`there is no command '${name}'`);
    const { values, operand } = parse(name, command, args);
    if (values.help) process.stdout.write(commandHelp(name, command));
    else await command.run(values, operand);
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
