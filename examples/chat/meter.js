// How the model runs, and why it is not faster.
import { capabilities } from '../../web/index.js';
import { $, make, megabytes } from './dom.js';

export function setUpMeter(state) {
  /** The model that is shown. */
  let shown;
  state.addEventListener('change', () => {
    const { model } = state;
    if (!model || model === shown) return;
    shown = model;
    const { variant, threads, memoryBytes } = model.info;
    $('speed').textContent = '–';
    $('threads').textContent = threads;
    $('variant').textContent = variant.replace('-threads', '');
    $('memory').textContent = megabytes(memoryBytes);
    const reasons = whyNotFaster(model.info, capabilities());
    $('why').hidden = reasons.length === 0;
    $('reasons').replaceChildren(...reasons.map((textContent) => make('li', { textContent })));
  });
}

/** What holds the model back, and what to do about it. @returns {string[]} */
function whyNotFaster({ threadsReason, variant, notes }, { threads, relaxedSimd }) {
  const reasons = [];
  if (threadsReason) reasons.push(sentence('One thread only', threadsReason, threads.fix));
  if (variant.startsWith('simd') && !relaxedSimd.available)
    reasons.push(sentence('Slower products', relaxedSimd.reason, relaxedSimd.fix));
  return [...reasons, ...notes];
}

const sentence = (what, reason, fix) =>
  `${what}: ${reason}.${fix ? ` To change that, ${fix}.` : ''}`;
