// The options of all commands: what they are called and how their texts become values.

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
export const OPTIONS = {
  model: {
    type: 'string',
    short: 'm',
    argument: 'FILE',
    help: 'the model, a GGUF file or its URL (default: the one that comes with halfbyte)',
  },
  lora: {
    type: 'string',
    multiple: true,
    argument: 'FILE[=SCALE]',
    help: 'add a LoRA adapter, a GGUF file or its URL, times a scale; may be repeated',
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
  'quantized-type': {
    type: 'string',
    name: 'type',
    argument: 'TYPE',
    help: 'the type of the matrices: f16, q4_0, q4_k .. or a mixture: q4_k_m ..',
  },
  'bits-per-weight': {
    type: 'string',
    argument: 'N',
    help: 'instead of a type: one for each matrix, under this budget; needs --calibration',
    parse: real,
  },
  tensor: {
    type: 'string',
    argument: 'RULES',
    help: 'other types by name: attn_v=q6_k,ffn_down.*=q5_k; the first that fits counts',
  },
  method: {
    type: 'string',
    argument: 'M',
    help: 'how: rtn imatrix gptq awq spqr hqq squeezellm smoothquant llm.int8 nf4 ..; a+b joins',
  },
  calibration: {
    type: 'string',
    multiple: true,
    argument: 'TEXT',
    help: 'a file with text to calibrate with, plain or .jsonl; may be repeated',
  },
  imatrix: { type: 'string', argument: 'FILE', help: 'an importance file instead of text' },
  gradients: {
    type: 'string',
    argument: 'FILE',
    help: 'squeezellm: a gradient file instead of text',
  },
  'calibration-samples': {
    type: 'string',
    argument: 'N',
    help: 'pieces of the text that are used, evenly spread (default 128)',
    parse: whole,
  },
  'calibration-length': {
    type: 'string',
    argument: 'N',
    help: "tokens of a piece, at most the model's context (default 512)",
    parse: whole,
  },
  'calibration-seed': {
    type: 'string',
    argument: 'S',
    help: 'draw the pieces instead of spreading them evenly',
    parse: seed,
  },
  activations: {
    type: 'string',
    argument: 'HOW',
    help: "int8 inputs with a scale a block, token, tensor or tensor-max (default: the method's)",
    parse: choice('block', 'token', 'tensor', 'tensor-max'),
  },
  outliers: {
    type: 'string',
    argument: 'PART',
    help: 'spqr, squeezellm: the part of the values kept in half precision',
    parse: real,
  },
  granularity: {
    type: 'string',
    argument: 'WHAT',
    help: 'rtn: what shares a scale: tensor, channel, group or block (q4_0 q5_0 q8_0 q4_1 q5_1)',
    parse: choice('tensor', 'channel', 'group', 'block'),
  },
  'group-size': {
    type: 'string',
    argument: 'N',
    help: 'columns of a group (default 128)',
    parse: whole,
  },
  'outlier-threshold': {
    type: 'string',
    argument: 'X',
    help: 'llm.int8: columns with such inputs are kept in half precision (default 6)',
    parse: real,
  },
  'smooth-alpha': {
    type: 'string',
    argument: 'A',
    help: "smoothquant: the part of inputs' range that goes to the weights (default: searched)",
    parse: real,
  },
  'allow-requantize': {
    type: 'boolean',
    help: 'take a model that is quantized already: its errors add up',
  },
  data: {
    type: 'string',
    multiple: true,
    argument: 'FILE',
    help: 'text to learn, plain or .jsonl; may be repeated',
  },
  validation: {
    type: 'string',
    multiple: true,
    argument: 'FILE',
    help: 'other text, whose loss is measured now and then; may be repeated',
  },
  output: { type: 'string', short: 'o', argument: 'FILE', help: "the adapter's file" },
  steps: { type: 'string', argument: 'N', help: 'of the run (default 100)', parse: whole },
  'learning-rate': {
    type: 'string',
    name: 'rate',
    argument: 'R',
    help: 'learning rate at its highest (default 1e-3)',
    parse: real,
  },
  schedule: {
    type: 'string',
    argument: 'HOW',
    help: 'how it goes down: cosine (default), linear or constant',
    parse: choice('cosine', 'linear', 'constant'),
  },
  warmup: {
    type: 'string',
    argument: 'PART',
    help: 'part of the steps in which it rises (default 0)',
    parse: real,
  },
  decay: { type: 'string', argument: 'D', help: 'weight decay (default 0)', parse: real },
  sequences: { type: 'string', argument: 'N', help: 'of a step (default 4)', parse: whole },
  'sequence-length': {
    type: 'string',
    name: 'length',
    argument: 'N',
    help: 'tokens of a sequence (default 128, at most those of the text)',
    parse: whole,
  },
  rank: { type: 'string', argument: 'N', help: 'of the adapter (default 8)', parse: whole },
  alpha: {
    type: 'string',
    argument: 'A',
    help: 'the adapter counts alpha / rank (default: twice the rank)',
    parse: real,
  },
  matrices: {
    type: 'string',
    argument: 'NAMES',
    help: 'that are adapted: attn_q,attn_v .. (default: all in layers)',
  },
  'adapter-type': {
    type: 'string',
    name: 'type',
    argument: 'TYPE',
    help: 'of the adapter: f32 (default), f16 or bf16',
    parse: choice('f32', 'f16', 'bf16'),
  },
  'order-seed': {
    type: 'string',
    name: 'seed',
    argument: 'S',
    help: 'of the order of the text and where the adapter begins (default 0)',
    parse: seed,
  },
  recompute: { type: 'boolean', help: 'compute layers twice, which takes less memory' },
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
  'chat-template': {
    type: 'string',
    argument: 'FILE',
    help: "a Jinja template instead of the model's own",
  },
  'generation-prompt': { type: 'boolean', help: 'end with what begins an answer' },
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
