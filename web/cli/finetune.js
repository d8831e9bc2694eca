// The command that trains an adapter.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { finetune } from '../index.js';
import { print, progressBar, rate, size } from './print.js';
import { UsageError } from './usage.js';

/** @import { TrainingStep } from '../train/options.js' */
/** @import { Values } from './commands.js' */

/** @param {string} path */
export function textFile(path) {
  try {
    return new File([readFileSync(path)], path);
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
}

/** An interrupt ends the training, a second one the program. @param {Values} values @param {string} [model] */
export async function finetuneFile(values, model) {
  const { data = [], validation, output } = values;
  if (model === undefined || data.length === 0 || output === undefined)
    throw new UsageError('finetune needs MODEL, --data and --output');
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const done = await finetune(model, data.map(textFile), {
    validation: validation?.map(textFile),
    steps: values.steps,
    rate: values.rate,
    schedule: values.schedule,
    warmup: values.warmup,
    decay: values.decay,
    sequences: values.sequences,
    length: values.length,
    rank: values.rank,
    alpha: values.alpha,
    matrices: values.matrices,
    type: values.type,
    seed: values.seed,
    recompute: values.recompute,
    threads: values.threads,
    stop: stop.signal,
    onProgress: progressBar(),
    onStep: show,
  });
  const bytes = new Uint8Array(await done.adapter.arrayBuffer());
  writeFileSync(`${output}.unfinished`, bytes);
  renameSync(`${output}.unfinished`, output);
  const { documents, textTokens, steps, tokens, seconds } = done;
  print(
    `${output}: ${size(bytes.length)}, after ${steps} steps on ${documents} documents of ` +
      `${textTokens} tokens, ${rate(tokens / Math.max(seconds, 1e-3))}`,
  );
}

/** On a terminal each step, elsewhere what was measured. @param {TrainingStep} step */
function show({ step, steps, loss, validation, tokensPerSecond = 0 }) {
  const terminal = process.stderr.isTTY;
  const said = loss === undefined ? '' : `  loss ${loss.toFixed(4)}  ${rate(tokensPerSecond)}`;
  if (terminal) process.stderr.write(`\rstep ${step} of ${steps}${said}\x1b[K`);
  if (terminal && (validation !== undefined || step === steps)) process.stderr.write('\r\x1b[K');
  if (validation !== undefined) print(`step ${step}${said}  validation ${validation.toFixed(5)}`);
  else if (step === steps) print(`step ${step}${said}`);
}
