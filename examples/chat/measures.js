// Measurements: this model on this device, types and threads, and quality.
import { capabilities, load } from '../../web/index.js';
import { $, fill, number, say } from './dom.js';
import { origin, showFigures } from './figures.js';
import { bars } from './plot.js';

const CONTEXT = 128; // tokens of a chunk of the text

export function setUpMeasures(state) {
  let figures; // the last result

  state.addEventListener('change', () => {
    const idle = Boolean(state.model) && !state.busy;
    const usable = (button) => idle || state.busy?.measuring === button;
    $('bench').disabled = !usable($('bench'));
    $('perplexity').disabled = !usable($('perplexity'));
    $('types').disabled = Boolean(state.busy) && state.busy.measuring !== $('types');
    $('original').disabled = !idle;
  });

  /** Runs a measurement; meanwhile a button stops it. */
  function run(button, status, body) {
    const label = button.textContent;
    return state.use(async (signal) => {
      state.busy.measuring = button;
      button.textContent = 'Stop';
      state.changed();
      try {
        await body(signal);
      } catch (error) {
        say(status, signal.aborted ? 'Stopped.' : error.message, !signal.aborted);
      } finally {
        button.textContent = label;
      }
    });
  }

  /** A measurement under a button of its own. */
  function measuring(button, status, body) {
    button.addEventListener('click', () =>
      state.busy?.measuring === button ? state.busy.abort() : run(button, status, body),
    );
  }

  measuring($('bench'), 'bench-status', async (signal) => {
    say('bench-status', 'Warming up…');
    figures = await state.model.bench({
      signal,
      onProgress: ({ loaded, total }) =>
        loaded > 0 && say('bench-status', `${loaded} of ${total} measured`),
    });
    showFigures($('figures'), figures);
    $('origin').textContent = origin(figures);
    $('measured').hidden = $('copy').hidden = false;
    $('copy').textContent = 'Copy as JSON';
    say('bench-status', 'Medians, and how far the measurements lie from them.');
  });

  $('copy').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify([figures], null, 2));
      $('copy').textContent = 'Copied';
    } catch {
      say('bench-status', 'Copying is not allowed here.', true);
    }
  });

  // ---- Types and threads

  /** What is plotted: each type's speeds, one for each number of threads. */
  let series = { threads: [], types: [] };

  function showPlots() {
    if (series.types.length === 0) return;
    const width = $('plots').clientWidth;
    const plot = (title, field) =>
      bars({
        title,
        unit: 'tokens/s',
        labels: series.threads.map((count) => `${count} thread${count > 1 ? 's' : ''}`),
        groups: series.types.map(({ name, results }) => ({
          name,
          values: results.map((result) => result[field]),
        })),
        width,
      });
    $('plots').replaceChildren(plot('Prefill', 'prefill'), plot('Decode', 'decode'));
  }
  new ResizeObserver(showPlots).observe($('plots'));

  measuring($('types'), 'types-status', async (signal) => {
    const { shape, types } = $('plots').dataset;
    const most = capabilities().threads.count;
    series = { threads: most > 1 ? [1, most] : [1], types: [] };
    for (const name of types.split(' ')) {
      const results = [];
      for (const threads of series.threads) {
        say('types-status', `${name}, ${threads} thread${threads > 1 ? 's' : ''}…`);
        results.push(await speeds({ shape, type: name }, threads, signal));
      }
      series.types.push({ name, results });
      showPlots();
    }
    say('types-status', 'Random weights, 64 tokens read and 16 decoded, medians of 3.');
  });

  async function speeds(source, threads, signal) {
    const model = await load(source, { threads, signal });
    try {
      return await model.bench({ prompt: 64, generate: 16, repeat: 3, signal });
    } finally {
      await model.dispose();
    }
  }

  // ---- Quality

  const textToRead = () => {
    const text = $('quality-text').value;
    if (text.trim().length < 200) throw new Error('Give a text of some paragraphs.');
    return text;
  };
  const onProgress = ({ loaded, total }) => {
    $('quality-progress').hidden = false;
    $('quality-progress').value = loaded / total;
  };

  measuring($('perplexity'), 'quality-status', async (signal) => {
    const text = textToRead();
    say('quality-status', 'Reading the text…');
    const { perplexity, tokens } = await reading((options) =>
      state.model.perplexity(text, { ...options, signal }),
    );
    fill($('quality'), [
      ['Perplexity', number(perplexity, 5)],
      ['Tokens', String(tokens)],
    ]);
    say('quality-status', 'The lower, the better; compare models with the same tokens only.');
  });

  $('original').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = '';
    if (file) run($('perplexity'), 'quality-status', (signal) => compare(file, signal));
  });

  async function compare(file, signal) {
    const text = textToRead();
    say('quality-status', `Loading ${file.name}…`);
    const original = await load(file, { signal });
    try {
      say('quality-status', `Reading the text with ${state.name} and ${file.name}…`);
      const { meanKl, medianKl, kl99, sameTop } = await reading((options) =>
        state.model.compare(original, text, { ...options, signal }),
      );
      fill($('quality'), [
        ['KL divergence, mean', number(meanKl, 4)],
        ['median', number(medianKl, 4)],
        ['99 % are below', number(kl99, 4)],
        ['Same likeliest token', `${number(sameTop * 100, 4)} %`],
      ]);
      say('quality-status', `${state.name} against ${file.name}.`);
    } finally {
      await original.dispose();
    }
  }

  /** Runs what reads a text, under a bar that shows how far it is. */
  async function reading(measure) {
    try {
      return await measure({ context: CONTEXT, onProgress });
    } finally {
      $('quality-progress').hidden = true;
    }
  }
}
