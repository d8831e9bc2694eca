// Quantizing a model in the page: what from, how, how far it is, and what to do with the result.
import { load, quantize } from '../../web/index.js';
import { $, fill, megabytes, number, say, timeText } from './dom.js';
import { setUpFrom } from './from.js';
import { setUpOutcome } from './outcome.js';
import { overlap } from './overlap.js';
import { show } from './tabs.js';
import { task } from './task.js';
import { setUpWays } from './ways.js';

const CONTEXT = 128; // tokens of a chunk of the text that quality is measured on

/** @param {(source: any, name: string) => Promise<void>} open loads a model into the page */
export function setUpQuantize(open) {
  const from = setUpFrom(update);
  const ways = setUpWays();
  const showOutcome = setUpOutcome();
  /** What was made last: its file, its name, and what it was made of. */
  let made;

  /** Whether there is something to start with, or to stop. */
  function update() {
    $('start').disabled = !from.chosen && $('steps').hidden;
  }

  // ---- Making it

  task($('start'), 'quantize-status', async (signal) => {
    const { chosen } = from;
    const options = ways.options();
    const allowRequantize = chosen.quantized && $('requantize').checked;
    if (chosen.quantized && !allowRequantize)
      throw new Error(
        'The model is quantized already: tick the box above to do it again, or take its original.',
      );
    const name = nameOfResult(chosen.name, options.type);
    forget();
    say('quantize-status', `Quantizing ${chosen.name}…`);
    $('steps').hidden = false;
    const onProgress = steps();
    try {
      const how = { ...options, allowRequantize, signal, onProgress };
      const result = await quantize(chosen.source, { ...chosen.options, ...how });
      made = { name, chosen, blob: result.blob, calibration: options.calibration };
      present(result);
    } finally {
      $('steps').hidden = true;
      update();
    }
  });

  /** The result before makes room. */
  function forget() {
    if (made) URL.revokeObjectURL($('save').href);
    made = undefined;
    $('outcome').hidden = true;
    stopWeighing();
  }

  function present(result) {
    const { name, blob, chosen } = made;
    $('outcome-name').textContent = name;
    $('save').href = URL.createObjectURL(blob);
    $('save').download = name;
    $('outcome').hidden = false;
    fill($('outcome-quality'), []);
    say('outcome-status', '');
    showOutcome(result, chosen);
    say('quantize-status', `${name} is ready.`);
  }

  // ---- Using it

  $('chat-with').addEventListener('click', () => {
    open(made.blob, made.name);
    show($('tab-chat'));
  });

  const stopWeighing = task($('weigh'), 'outcome-status', async (signal) => {
    const { name, blob, chosen, calibration = [] } = made;
    const text = $('outcome-text').value;
    if (text.trim().length < 200) throw new Error('Give a text of some paragraphs.');
    const shared = await overlap(text, calibration);
    say('outcome-status', 'Loading both models…');
    const models = [];
    try {
      models.push(await load(chosen.source, { ...chosen.options, signal }));
      models.push(await load(blob, { signal }));
      const [original, result] = models;
      say('outcome-status', 'Reading the text with both…');
      const found = await result.compare(original, text, {
        ...{ context: CONTEXT, signal },
        onProgress: ({ loaded, total }) => bar($('weighing'), loaded, total),
      });
      fill($('outcome-quality'), qualityRows(found));
      say(
        'outcome-status',
        shared
          ? 'The text is in part what it was calibrated with: on another one the loss is larger.'
          : `${name} against ${chosen.name}, ${found.tokens} tokens.`,
        shared,
      );
    } finally {
      $('weighing').hidden = true;
      await Promise.all(models.map((model) => model.dispose()));
    }
  });

  update();
  return {
    says: 'Drop a GGUF file to quantize it, or a text to calibrate with',
    take: (file) => (file.name.endsWith('.gguf') ? from : ways).take(file),
  };
}

function qualityRows({ perplexity, referencePerplexity, meanKl, sameTop }) {
  const change = 100 * (perplexity / referencePerplexity - 1);
  return [
    ['Perplexity of the original', number(referencePerplexity, 5)],
    ['Of the result', `${number(perplexity, 5)} (${change < 0 ? '' : '+'}${number(change, 2)} %)`],
    ['KL divergence, mean', number(meanKl, 4)],
    ['Same likeliest token', `${number(sameTop * 100, 4)} %`],
  ];
}

/** The name of the original, with another type in it. */
function nameOfResult(name, type) {
  const base = name.replace(/(@[^@]*)?$/, '').replace(/\.gguf$/i, '');
  const bare = base.replace(/[-_.](b?f16|f32|q\d\w*|iq\d\w*|mxfp4|nf4|fp4)$/i, '');
  return `${bare || 'model'}-${type}.gguf`;
}

// ---- How far it is

const PHASES = {
  wait: 'Waiting for another tab',
  download: 'Fetching',
  load: 'Reading',
  measure: 'Measuring',
  quantize: 'Quantizing',
};

/** A listener that shows each step. */
function steps() {
  let phase;
  let begun;
  let last = '';
  return (progress) => {
    if (progress.phase !== phase) [phase, begun] = [progress.phase, performance.now()];
    const { loaded, total, tensor } = progress;
    if (tensor) last = `${tensor.name} → ${tensor.to}`;
    bar($('steps-bar'), loaded, total);
    const seconds = (performance.now() - begun) / 1000;
    const parts = [
      `${PHASES[phase]}: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ''}`,
    ];
    if (last) parts.push(last);
    if (total && loaded > 0 && seconds > 1)
      parts.push(`about ${timeText((seconds * (total - loaded)) / loaded)} left`);
    $('steps-text').textContent = parts.join(', ');
  };
}

function bar(progress, loaded, total) {
  progress.hidden = false;
  if (total) progress.value = loaded / total;
  else progress.removeAttribute('value');
}
