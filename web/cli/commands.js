// The commands, each over the public interface of halfbyte.
import { readFileSync } from 'node:fs';
import { defaultModel, inspect, load, quantize } from '../index.js';
import { parityHash } from '../parity.js';
import { benchAllKernels, benchModel } from './bench.js';
import { finetuneFile, textFile } from './finetune.js';
import { print, printable, progressBar, rate, size } from './print.js';
import { UsageError } from './usage.js';

const COMPUTE = ['model', 'lora', 'threads', 'isa', 'kv'];
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
 * @property {string} [operand] or several, with a space between them
 * @property {(values: Values, ...operands: (string | undefined)[]) => Promise<void>} run
 */

/** @type {Record<string, Command>} */
export const COMMANDS = {
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
  quantize: {
    summary: 'Writes a model with its matrices in another type, as the native program does',
    takes: [
      ...['quantized-type', 'bits-per-weight', 'tensor', 'method', 'calibration'],
      ...['imatrix', 'gradients', 'calibration-samples', 'calibration-length'],
      ...['calibration-seed', 'activations'],
      ...['granularity', 'group-size'],
      ...['outliers', 'outlier-threshold', 'smooth-alpha', 'allow-requantize', 'threads'],
    ],
    operand: 'IN OUT',
    run: quantizeFile,
  },
  finetune: {
    summary: 'Trains a LoRA adapter of a model on text; an interrupt ends it early',
    takes: [
      ...['data', 'validation', 'output', 'steps', 'learning-rate', 'schedule', 'warmup', 'decay'],
      ...['sequences', 'sequence-length', 'rank', 'alpha', 'matrices', 'adapter-type'],
      ...['order-seed', 'recompute', 'threads'],
    ],
    operand: 'MODEL',
    run: finetuneFile,
  },
  render: {
    summary: "Renders conversations in JSON Lines with a model's chat template, to calibrate with",
    takes: ['model', 'chat-template', 'generation-prompt'],
    operand: 'FILE',
    run: renderFile,
  },
  serve: {
    summary: "Speaks OpenAI's interface over HTTP",
    takes: [...COMPUTE, 'ctx', 'port', 'host', 'api-key', 'most-tokens'],
    run: serveModel,
  },
};

/** @param {Values} values */
function loadOptions({ threads, isa, kv, ctx, lora = [] }) {
  const adapters = lora.map(adapterOf);
  return { threads, isa, kv, contextLength: ctx, lora: adapters, onProgress: progressBar() };
}

/**
 * FILE or FILE=SCALE. What follows an equals sign and is no number belongs to the name, and so does
 * what stands in the query of a URL.
 * @param {string} text
 */
function adapterOf(text) {
  const scaled = /^(.+)=([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/is.exec(text);
  if (!scaled || /^https?:.*\?/is.test(text)) return { source: text };
  return { source: scaled[1], scale: Number(scaled[2]) };
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
 * @param {import('../index.js').Model} model
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

/** @param {import('../gguf.js').MetadataValue} value */
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

/** @param {Values} values @param {string | undefined} from @param {string | undefined} to */
async function quantizeFile(values, from, to) {
  if (from === undefined || to === undefined) throw new UsageError('quantize needs IN and OUT');
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  const bar = progressBar('quantizing');
  const done = await quantize(from, {
    to,
    type: values.type,
    bitsPerWeight: values['bits-per-weight'],
    tensors: values.tensor,
    method: values.method,
    calibration: values.calibration?.map(textFile),
    imatrix: values.imatrix,
    gradients: values.gradients,
    samples: values['calibration-samples'],
    length: values['calibration-length'],
    seed: values['calibration-seed'],
    activations: values.activations,
    granularity: values.granularity,
    groupSize: values['group-size'],
    outliers: values.outliers,
    outlierThreshold: values['outlier-threshold'],
    smoothAlpha: values['smooth-alpha'],
    allowRequantize: values['allow-requantize'],
    threads: values.threads,
    signal: interrupt.signal,
    onProgress: bar && (({ loaded, total }) => bar({ loaded, total })),
  });
  const { tensors, sourceBytes, bitsPerWeight, experimental } = done;
  for (const { name, to, reason, note } of tensors)
    if (reason || note)
      print(`${printable(name)}: ${to}${reason ? `, as ${reason}` : ''}${note ? `; ${note}` : ''}`);
  const converted = tensors.filter((tensor) => tensor.from !== tensor.to).length;
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const worst = Math.max(...tensors.map(({ error }) => error));
  print(
    `${converted} of ${tensors.length} tensors converted: ${size(sourceBytes)} -> ${size(bytes)}, ` +
      `${bitsPerWeight.toFixed(3)} bits/weight, relative squared error at most ` +
      `${Number(worst.toPrecision(3))}`,
  );
  if (experimental)
    print(`experimental: ${experimental} has fewer than 4 bits a value, which costs quality`);
}

/** @param {Values} values @param {string | undefined} file */
async function renderFile(values, file) {
  if (file === undefined) throw new UsageError('render needs FILE');
  const template = values['chat-template'];
  const { renderLines } = await import('./render.js');
  const rendered = renderLines(await textFile(file).text(), {
    file,
    model: await inspect(modelOf(values)),
    template: template === undefined ? undefined : await textFile(template).text(),
    generationPrompt: values['generation-prompt'],
  });
  for await (const prompt of rendered) print(JSON.stringify({ prompt }));
}

/** @param {Values} values */
async function serveModel(values) {
  const { serve } = await import('../serve.js');
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
