// One continuation of a prompt: reading it slice by slice, then drawing token after token.
import { FINISH, NO_TOKEN } from './generated.js';
import { breathe } from './platform.js';
import { Session } from './session.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { Emit, Watch } from './engine.js' */

const SLICE_MS = 60; // how long a slice of a prompt should take
const FIRST_SLICE = 32;
const PROGRESS_MS = 50;

/** @typedef {'stop' | 'length' | 'context' | 'abort'} FinishReason */

/** @type {Record<number, FinishReason>} */
const FINISH_REASONS = {
  [FINISH.STOP]: 'stop',
  [FINISH.LENGTH]: 'length',
  [FINISH.CONTEXT]: 'context',
};

/**
 * @typedef {object} GenerateArgs
 * @property {number} maxTokens
 * @property {boolean} ignoreEos
 * @property {string[]} stop
 * @property {boolean} special
 * @property {{ token: number, bias: number }[]} biases
 * @property {{ seed: bigint } & Record<string, number | bigint>} sampler fields of
 *   hb_sampler_options
 */

/**
 * Continues `tokens` in a session that holds nothing. The events are parts { text, token, logprob }
 * and { phase, loaded, total }; the result is the end of the stream.
 * @param {Core} core
 * @param {Session} session
 * @param {number[]} tokens
 * @param {GenerateArgs} options
 * @param {Emit} emit
 * @param {Watch} watch
 */
export async function generate(core, session, tokens, options, emit, watch) {
  const started = performance.now();
  const complete = await prefill(session, tokens, emit, watch);
  const prefilled = performance.now();
  const { completionTokens, finishReason } = complete
    ? await decode(core, session, tokens, options, emit, watch)
    : { completionTokens: 0, finishReason: /** @type {FinishReason} */ ('abort') };
  const prefillMs = prefilled - started;
  const decodeMs = performance.now() - prefilled;
  return {
    finishReason,
    usage: { promptTokens: tokens.length, completionTokens },
    timings: {
      prefillMs,
      decodeMs,
      prefillTokensPerSecond: (tokens.length / prefillMs) * 1000,
      tokensPerSecond: (completionTokens / decodeMs) * 1000,
    },
  };
}

/**
 * @param {Session} session
 * @param {number[]} tokens
 * @param {Emit} emit
 * @param {Watch} watch
 * @returns {Promise<boolean>} false if it was aborted
 */
async function prefill(session, tokens, emit, watch) {
  let slice = FIRST_SLICE;
  let reported = -Infinity;
  for (let at = 0; at < tokens.length;) {
    await breathe();
    if (watch.aborted) return false;
    const begun = performance.now();
    const part = tokens.slice(at, at + slice);
    at += part.length;
    session.step(part, at === tokens.length ? 'last' : 'none');
    const now = performance.now();
    if (now - begun < SLICE_MS / 2) slice = Math.min(slice * 2, Session.BATCH);
    else if (now - begun > SLICE_MS * 2) slice = Math.max(slice / 2, 1);
    if (now - reported >= PROGRESS_MS || at === tokens.length) {
      reported = now;
      emit({ phase: 'prefill', loaded: at, total: tokens.length });
    }
  }
  return true;
}

/**
 * @param {Core} core
 * @param {Session} session
 * @param {number[]} prompt what the session holds
 * @param {GenerateArgs} options
 * @param {Emit} emit
 * @param {Watch} watch
 * @returns {Promise<{ completionTokens: number, finishReason: FinishReason }>}
 */
async function decode(core, session, prompt, options, emit, watch) {
  const generator = createGenerator(core, session, prompt, options);
  let completionTokens = 0;
  try {
    for (;;) {
      await breathe();
      if (watch.aborted) return { completionTokens, finishReason: 'abort' };
      const { text, token, logprob, finish } = nextPiece(core, generator);
      if (token !== NO_TOKEN) {
        completionTokens++;
        emit({ text, token, logprob });
      } else if (text) {
        emit({ text });
      }
      if (finish !== FINISH.NONE) return { completionTokens, finishReason: FINISH_REASONS[finish] };
    }
  } finally {
    if (!core.dead) core.call('hb_generator_destroy', generator);
  }
}

/**
 * @param {Core} core
 * @param {Session} session
 * @param {number[]} prompt
 * @param {GenerateArgs} options
 * @returns {Pointer}
 */
function createGenerator(core, session, prompt, { stop, biases, sampler, maxTokens, ignoreEos }) {
  return core.scope((allocate) => {
    const texts = stop.map((text) => core.putText(allocate, text));
    const options = allocate(core.sizeOf('hb_generate_options'));
    core.write('hb_generate_options', options, {
      allocator: core.call('hb_wasm_allocator'),
      sampler: {
        ...sampler,
        biases: core.putStructs(allocate, 'hb_logit_bias', biases),
        bias_count: biases.length,
      },
      max_tokens: maxTokens,
      ignore_end: ignoreEos ? 1 : 0,
      stop: core.putStructs(allocate, 'hb_string', texts),
      stop_count: texts.length,
    });
    const generator = core.result('hb_generator_create', session.pointer, options);
    const tokens = allocate(prompt.length * 4);
    core.putTokens(tokens, prompt);
    core.call('hb_generator_accept', generator, tokens, prompt.length);
    return generator;
  });
}

/** @param {Core} core @param {Pointer} generator */
function nextPiece(core, generator) {
  return core.scope((allocate) => {
    const at = allocate(core.sizeOf('hb_piece'));
    core.check('hb_generator_next', generator, at);
    return core.read('hb_piece', at);
  });
}
