// One continuation of a prompt: reading it slice by slice, then drawing token after token.
import { fitTokens } from './chat/fit.js';
import { FINISH, NO_TOKEN } from './generated.js';
import { breathe } from './platform.js';
import { Session } from './session.js';

/** @import { ContextPolicy, FittingPrompt } from './chat/fit.js' */
/** @import { Core, Pointer } from './core.js' */
/** @import { Emit, Watch } from './engine.js' */

const SLICE_MS = 60; // how long a slice of a prompt should take
const FIRST_SLICE = 32;
const PROGRESS_MS = 50;
const PACE_MS = 16; // fast tokens travel together this often, a frame of a screen,
const MOST_PARTS = 16; // or so many together

/**
 * Why a generation ended: the model or a stop text ended it, `maxTokens` was reached, the context was
 * full, or it was aborted.
 * @typedef {'stop' | 'length' | 'context' | 'abort'} FinishReason
 */

/** @type {Record<number, FinishReason>} */
const FINISH_REASONS = {
  [FINISH.STOP]: 'stop',
  [FINISH.LENGTH]: 'length',
  [FINISH.CONTEXT]: 'context',
};

/**
 * @typedef {object} GenerateArgs
 * @property {number} maxTokens
 * @property {ContextPolicy} contextPolicy
 * @property {boolean} ignoreEos
 * @property {boolean} logprobs
 * @property {string[]} stop
 * @property {boolean} special
 * @property {{ token: number, bias: number }[]} biases
 * @property {{ seed: bigint } & Record<string, number | bigint>} sampler fields of
 *   hb_sampler_options
 */

/**
 * Continues a prompt in a session, of whose cache it uses what begins as they do. The events are { parts }, each of which is
 * { text, token, logprob }, as far as there are such, and { phase, loaded, total }; the result is the
 * end of the stream.
 * @param {Core} core
 * @param {Session} session
 * @param {FittingPrompt} prompt
 * @param {GenerateArgs} options
 * @param {Emit} emit
 * @param {Watch} watch
 */
export async function generate(core, session, prompt, options, emit, watch) {
  const { tokens } = prompt;
  const started = performance.now();
  const cachedTokens = session.rewindTo(tokens);
  const complete = await prefill(session, tokens, emit, watch);
  const prefilled = performance.now();
  const { completionTokens, droppedTokens, finishReason } = complete
    ? await decode(core, session, prompt, options, emit, watch)
    : { ...prompt, completionTokens: 0, finishReason: /** @type {FinishReason} */ ('abort') };
  const prefillMs = prefilled - started;
  const decodeMs = performance.now() - prefilled;
  return {
    finishReason,
    usage: { promptTokens: tokens.length, cachedTokens, completionTokens, droppedTokens },
    timings: {
      prefillMs,
      decodeMs,
      prefillTokensPerSecond: ((tokens.length - cachedTokens) / prefillMs) * 1000,
      tokensPerSecond: (completionTokens / decodeMs) * 1000,
    },
  };
}

/**
 * Reads what the session does not hold yet.
 * @param {Session} session that holds the first of the tokens
 * @param {number[]} tokens
 * @param {Emit} emit
 * @param {Watch} watch
 * @returns {Promise<boolean>} false if it was aborted
 */
async function prefill(session, tokens, emit, watch) {
  let slice = FIRST_SLICE;
  let reported = -Infinity;
  for (let at = session.held.length; at < tokens.length;) {
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
 * @param {FittingPrompt} prompt what the session holds
 * @param {GenerateArgs} options
 * @param {Emit} emit
 * @param {Watch} watch
 * @returns {Promise<{ completionTokens: number, droppedTokens: number, finishReason: FinishReason }>}
 */
async function decode(core, session, prompt, options, emit, watch) {
  const pieceSize = core.sizeOf('hb_piece');
  const piece = core.allocate(pieceSize);
  const pace = new Pace();
  let generator = 0;
  let completionTokens = 0;
  let { droppedTokens } = prompt;
  const ended = (/** @type {FinishReason} */ finishReason) => ({
    completionTokens,
    droppedTokens,
    finishReason,
  });
  /** @type {{ text: string, token?: number, logprob?: number }[]} */
  let parts = [];
  const give = () => {
    if (parts.length > 0) emit({ parts });
    parts = [];
  };
  try {
    generator = createGenerator(core, session, prompt.tokens, options);
    for (;;) {
      if (completionTokens < 2 || parts.length === MOST_PARTS || pace.due()) {
        give();
        await breathe();
        if (watch.aborted) return ended('abort');
      }
      if (options.contextPolicy !== 'error' && session.held.length === session.contextLength) {
        give();
        const kept = fitTokens(session.held, session.contextLength, options.contextPolicy, prompt.bos);
        droppedTokens += session.held.length - kept.length;
        session.rewindTo(kept);
        if (!(await prefill(session, kept, () => {}, watch))) return ended('abort');
      }
      core.check('hb_generator_next', generator, piece);
      const { text, token, logprob, finish } = core.read('hb_piece', piece);
      if (token !== NO_TOKEN) {
        completionTokens++;
        parts.push(options.logprobs ? { text, token, logprob } : { text, token });
      } else if (text) {
        parts.push({ text });
      }
      if (finish !== FINISH.NONE) return ended(FINISH_REASONS[finish]);
      session.grew(token);
    }
  } finally {
    give();
    if (!core.dead) {
      core.call('hb_generator_destroy', generator);
      core.release(piece, pieceSize);
    }
  }
}

/** When to deal with messages. Each costs about as much as choosing a token, so fast tokens share
 * one; but none waits for another that would come late. */
class Pace {
  #looked = -Infinity; // when the thread last dealt with messages
  #asked = -Infinity;

  /** Asked after each token: whether messages are due before the next one is done. */
  due() {
    const now = performance.now();
    const next = now + (now - this.#asked);
    this.#asked = now;
    if (next - this.#looked < PACE_MS) return false;
    this.#looked = now;
    return true;
  }
}

/**
 * @param {Core} core
 * @param {Session} session
 * @param {number[]} prompt
 * @param {GenerateArgs} given
 * @returns {Pointer}
 */
function createGenerator(core, session, prompt, given) {
  const { stop, biases, sampler, maxTokens, ignoreEos, logprobs } = given;
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
      logprobs: logprobs ? 1 : 0,
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
