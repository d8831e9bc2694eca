// What the generations of a request bring, choice by choice.
import { ToolCalls } from './tool-calls.js';

/** @import { StreamEnd, StreamPart } from '../index.js' */
/** @import { GenerateOptions } from '../options.js' */
/** @import { ChatShape, TextShape } from './shapes.js' */
/** @import { Entry, FinishReason, ToolCall } from './types.js' */

/**
 * How a request is answered.
 * @typedef {object} Job
 * @property {ChatShape | TextShape} shape
 * @property {boolean} stream
 * @property {boolean} includeUsage
 * @property {number | undefined} eos a token that is left out of the log-probabilities
 * @property {number} n choices of each prompt
 * @property {((options: GenerateOptions) => AsyncIterable<StreamPart | StreamEnd>)[]} prompts start
 *   a generation
 * @property {string[]} echoes what each prompt's choices begin with
 * @property {boolean} tools whether the model may call tools
 * @property {GenerateOptions} options
 * @property {bigint | undefined} seed
 */

/**
 * What a step of a generation brings to a choice.
 * @typedef {object} Step
 * @property {number} index of the choice
 * @property {string} text
 * @property {Entry[]} [entries] its log-probabilities, if asked for
 * @property {ToolCall[]} [calls] those that became certain
 * @property {FinishReason} [finish]
 * @property {StreamEnd['usage']} [usage]
 */

/**
 * The steps of all choices, one choice after the other; ends without a finish when aborted.
 * @param {Job} job
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Step, void, undefined>}
 */
export async function* steps(job, signal) {
  for (let index = 0; index < job.prompts.length * job.n; index++) {
    const at = Math.floor(index / job.n);
    if (job.echoes[at]) yield { index, text: job.echoes[at] };
    const parts = job.prompts[at](optionsOf(job, index % job.n, signal));
    for await (const step of job.tools ? withCalls(partSteps(job, parts)) : partSteps(job, parts))
      yield { index, ...step };
    if (signal.aborted) return;
  }
}

/**
 * @param {Job} job
 * @param {AsyncIterable<StreamPart | StreamEnd>} parts
 * @returns {AsyncGenerator<Omit<Step, 'index'>, void, undefined>}
 */
async function* partSteps(job, parts) {
  for await (const part of parts) {
    const { text, finishReason } = part;
    if (finishReason === undefined) yield { text, entries: entriesOf(job, part) };
    else if (finishReason !== 'abort')
      yield { text, finish: finishReason === 'stop' ? 'stop' : 'length', usage: part.usage };
  }
}

/**
 * Takes calls of tools out of the text.
 * @param {AsyncIterable<Omit<Step, 'index'>>} given
 * @returns {AsyncGenerator<Omit<Step, 'index'>, void, undefined>}
 */
async function* withCalls(given) {
  const finder = new ToolCalls();
  let called = false;
  for await (const step of given) {
    const found = finder.push(step.text);
    const rest = step.finish ? finder.end() : { text: '', calls: [] };
    const calls = [...found.calls, ...rest.calls];
    called ||= calls.length > 0;
    const text = found.text + rest.text;
    if (!step.finish) yield { ...step, text, calls };
    else if (text || calls.length > 0) yield { text, calls };
    if (!step.finish) continue;
    const finish = called && step.finish === 'stop' ? 'tool_calls' : step.finish;
    yield { ...step, text: '', finish };
  }
}

/**
 * The choices of a prompt differ by their seeds.
 * @param {Job} job
 * @param {number} choice
 * @param {AbortSignal} signal
 * @returns {GenerateOptions}
 */
function optionsOf({ options, seed }, choice, signal) {
  if (seed === undefined) return { ...options, signal };
  return { ...options, signal, seed: BigInt.asUintN(64, seed + BigInt(choice)) };
}

/** @param {Job} job @param {StreamPart} part @returns {Entry[] | undefined} */
function entriesOf({ options, eos }, { text, token, logprob }) {
  if (!options.logprobs) return undefined;
  if (token === undefined || logprob === undefined || token === eos) return [];
  return [{ text, logprob }];
}
