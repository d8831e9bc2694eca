// Trains an adapter on the text of the page, and shows how that goes.
import { defaultModel, finetune } from '../../web/index.js';
import { $, megabytes, number, say, timeText } from '../chat/dom.js';
import { drawCurve } from './curve.js';

/** What is drawn: the run that goes on, or the last one. */
let losses = [];
let steps = 0;

const draw = () =>
  $('curve').replaceChildren(drawCurve({ losses, steps, width: $('curve').clientWidth }));

/** @param {(adapter: Blob | undefined) => void} onAdapter hears of a new adapter, or that there is none */
export function setUpTraining(onAdapter) {
  /** @type {(() => void) | undefined} */
  let stop;
  steps = options().steps;
  draw();
  addEventListener('resize', draw);
  $('settings').addEventListener('input', () => {
    if (stop || losses.length > 0) return;
    steps = options().steps || 1;
    draw();
  });
  $('stop').addEventListener('click', () => stop?.());
  $('training').addEventListener('submit', async (event) => {
    event.preventDefault();
    onAdapter(undefined);
    const run = begin();
    stop = run.stop;
    busy(true);
    try {
      onAdapter(await run.result);
    } catch (error) {
      const stopped = error.code === 'ABORTED';
      say('status', stopped ? 'Stopped before the first step.' : error.message, !stopped);
    } finally {
      stop = undefined;
      busy(false);
    }
  });
}

function busy(is) {
  $('train').disabled = is;
  $('stop').hidden = !is;
  $('text').readOnly = is;
  $('settings-fields').disabled = is;
  $('curve').setAttribute('aria-busy', is);
}

/** The numbers of the settings. */
function options() {
  const value = (name) => $('training').elements[name].valueAsNumber;
  return {
    steps: value('steps'),
    rate: value('rate'),
    sequences: value('sequences'),
    rank: value('rank'),
  };
}

/** A run: before its first step it is stopped with nothing, later with what was learned. */
function begin() {
  const early = new AbortController();
  const late = new AbortController();
  const chosen = options();
  losses = [];
  steps = chosen.steps || 1;
  draw();
  say('status', 'Getting the model ready…');
  const told = finetune(defaultModel, $('text').value, {
    ...chosen,
    signal: early.signal,
    stop: late.signal,
    onStep: (step) => {
      losses.push(step.loss);
      draw();
      say('status', describe(step));
    },
  });
  const result = told.then((done) => {
    say('status', summary(done));
    return done.adapter;
  });
  return { result, stop: () => (losses.length > 0 ? late : early).abort() };
}

const describe = ({ step, steps, loss, tokensPerSecond, secondsLeft }) =>
  `Step ${step} of ${steps} · loss ${number(loss)} · ${number(tokensPerSecond)} tokens/s · ` +
  `${timeText(secondsLeft)} left`;

const summary = ({ adapter, steps, stopped, textTokens, tokens, seconds, threads }) =>
  `${stopped ? 'Stopped after' : 'Done:'} ${steps} steps in ${timeText(seconds)}, ` +
  `${number(tokens / Math.max(seconds, 1e-3))} tokens/s on ` +
  `${threads === 1 ? 'one thread' : `${threads} threads`}. ` +
  `The text has ${textTokens} tokens, the adapter ${megabytes(adapter.size)}.`;
