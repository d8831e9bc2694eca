// Measurements: this model on this device, types and threads, and quality.
import { capabilities, load } from '../../web/index.js';
import { $, fill, number, say } from './dom.js';
import { origin, showFigures } from './figures.js';
import { bars } from './plot.js';

const SHAPE = '512,6,8,4,1536,8000'; // 24 M parameters
const CONTEXT = 128; // tokens of a chunk of the text
const TYPES = ['q4_0', 'q8_0', 'q4_k', 'q6_k', 'f16'];

export function setUpMeasures(state) {
  let figures; // the last result

  state.addEventListener('change', () => {
    const idle = Boolean(state.model) && !state.busy;
    $('bench').disabled = !idle && !state.busy?.measuring;
    $('perplexity').disabled = !idle;
    $('original').disabled = !idle;
  });

  /** Runs a measurement under a button that stops it. */
  function measuring(button, status, body) {
    button.addEventListener('click', () => {
      if (state.busy?.measuring === button) return state.busy.abort();
      const label = button.textContent;
      state.use(async (signal) => {
        state.busy.measuring = button;
        button.textContent = 'Stop';
        button.disabled = false;
        try {
          await body(signal);
        } catch (error) {
          say(status, signal.aborted ? 'Stopped.' : error.message, !signal.aborted);
        } finally {
          button.textContent = label;
        }
      });
    });
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

  measuring($('types'), 'types-status', async (signal) => {
    const most = capabilities().threads.count;
    const threads = most > 1 ? [1, most] : [1];
    const prefill = [];
    const decode = [];
    for (const type of TYPES) {
      const results = [];
      for (const count of threads) {
        say('types-status', `${type}, ${count} thread${count > 1 ? 's' : ''}…`);
        results.push(await speeds(type, count, signal));
      }
      const group = (field) => ({
        name: type,
        bars: results.map((result, i) => ({
          label: threads.length > 1 ? `${threads[i]} thr.` : '',
          value: result[field],
        })),
      });
      prefill.push(group('prefill'));
      decode.push(group('decode'));
      $('plots').replaceChildren(
        bars('Prefill, tokens/s', prefill, number),
        bars('Decode, tokens/s', decode, number),
      );
    }
    say('types-status', 'Random weights, 64 tokens read and 16 decoded, medians of 3.');
  });

  async function speeds(type, threads, signal) {
    const model = await load({ shape: SHAPE, type }, { threads, signal });
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
  const onProgress = ({ loaded, total }) =>
    say('quality-status', `${loaded} of ${total} tokens read`);

  measuring($('perplexity'), 'quality-status', async (signal) => {
    const { perplexity, tokens } = await state.model.perplexity(textToRead(), {
      context: CONTEXT,
      signal,
      onProgress,
    });
    fill($('quality'), [
      ['Perplexity', number(perplexity, 5)],
      ['Tokens', String(tokens)],
    ]);
    say('quality-status', 'The lower, the better; compare models with the same tokens only.');
  });

  $('original').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = '';
    if (file) state.use((signal) => compare(file, signal));
  });

  async function compare(file, signal) {
    let original;
    try {
      const text = textToRead();
      say('quality-status', 'Loading the original…');
      original = await load(file, { signal });
      const { meanKl, medianKl, kl99, sameTop } = await state.model.compare(original, text, {
        context: CONTEXT,
        signal,
        onProgress,
      });
      fill($('quality'), [
        ['KL divergence, mean', number(meanKl, 4)],
        ['median', number(medianKl, 4)],
        ['99 % are below', number(kl99, 4)],
        ['Same likeliest token', `${number(sameTop * 100, 4)} %`],
      ]);
      say('quality-status', `${state.name} against ${file.name}.`);
    } catch (error) {
      say('quality-status', signal.aborted ? 'Stopped.' : error.message, !signal.aborted);
    } finally {
      await original?.dispose();
    }
  }
}
