// The page: loads a model, continues what is written in the box, shows how fast and by what means.
import { capabilities, defaultModel, load } from '../../web/index.js';
import { origin, showFigures } from './figures.js';

const $ = (id) => document.getElementById(id);
const story = $('story');

/** The model in use, and what ends the load, the story or the measurement that is under way. */
let model;
let loading = new AbortController();
let telling;
let measuring;

function say(text, failed = false) {
  $('status').textContent = text;
  $('status').classList.toggle('failed', failed);
}

/** What can be begun now. */
function enable() {
  $('tell').disabled = !model || Boolean(telling || measuring);
  $('measure').disabled = !model || Boolean(telling);
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

// ---- Loading

async function open(source, name) {
  loading.abort();
  telling?.abort();
  measuring?.abort();
  const mine = (loading = new AbortController());
  $('progress').hidden = false;
  $('progress').removeAttribute('value');
  $('model-name').textContent = name;
  $('model-facts').textContent = '';
  $('measured').hidden = $('copy').hidden = true;
  say('Loading…');
  const before = model;
  model = undefined;
  enable();
  try {
    await before?.dispose();
    const loaded = await load(source, { signal: mine.signal, onProgress: showProgress });
    if (mine.signal.aborted) return loaded.dispose();
    model = loaded;
    showModel(model.info);
    enable();
  } catch (error) {
    if (mine.signal.aborted) return;
    say(error.message, true);
  } finally {
    if (!mine.signal.aborted) $('progress').hidden = true;
  }
}

function showProgress({ loaded, total }) {
  if (total) $('progress').value = loaded / total;
  say(
    total ? `Loading ${mebibytes(loaded)} of ${mebibytes(total)}` : `Loading ${mebibytes(loaded)}`,
  );
}

function showModel({ parameters, contextLength, variant, threads, threadsReason, memoryBytes }) {
  $('model-facts').textContent =
    `${(parameters / 1e6).toFixed(1)} M parameters, context of ${contextLength} tokens`;
  say('Ready. Ctrl+Enter tells the story.');
  $('threads').textContent = threads;
  $('variant').textContent = variant.replace('-threads', '');
  $('memory').textContent = mebibytes(memoryBytes);
  const fix = capabilities().threads.fix;
  $('why').hidden = !threadsReason;
  $('why').textContent = threadsReason
    ? `One thread only: ${threadsReason}.${fix ? ` To change that, ${fix}.` : ''}`
    : '';
}

// ---- Telling

async function tell() {
  if (!model || telling || measuring) return;
  telling = new AbortController();
  enable();
  $('stop').hidden = false;
  story.setAttribute('aria-busy', 'true');
  const prompt = $('prompt').value;
  const beginning = document.createElement('span');
  beginning.className = 'prompt';
  beginning.textContent = prompt;
  const text = document.createTextNode('');
  story.replaceChildren(beginning, text);
  say('Reading the prompt…');
  try {
    const begun = performance.now();
    let first;
    let count = 0;
    const stream = model.stream(prompt, {
      maxTokens: Number($('length').value),
      temperature: Number($('temperature').value),
      signal: telling.signal,
    });
    for await (const part of stream) {
      text.appendData(part.text);
      if (part.finishReason) {
        showEnd(part, performance.now() - begun);
      } else {
        if (first === undefined) say('Telling…');
        first ??= performance.now();
        count++;
        showSpeed(((count - 1) / (performance.now() - first)) * 1000);
      }
    }
  } catch (error) {
    say(error.message, true);
  } finally {
    telling = undefined;
    story.setAttribute('aria-busy', 'false');
    $('stop').hidden = true;
    enable();
  }
}

function showSpeed(tokensPerSecond) {
  if (Number.isFinite(tokensPerSecond))
    $('speed').textContent = `${tokensPerSecond.toFixed(0)} tokens/s`;
}

const ENDINGS = {
  stop: 'The end',
  length: 'Cut at the length you asked for',
  context: 'The context is full',
  abort: 'Stopped',
};

function showEnd({ finishReason, usage, timings }, milliseconds) {
  showSpeed(timings.tokensPerSecond);
  say(
    `${ENDINGS[finishReason]}: ${usage.completionTokens} tokens in ` +
      `${(milliseconds / 1000).toFixed(1)} s; prompt read at ` +
      `${timings.prefillTokensPerSecond.toFixed(0)} tokens/s.`,
  );
}

// ---- Measuring

let figures; // the last result

function note(text, failed = false) {
  $('measuring-status').textContent = text;
  $('measuring-status').classList.toggle('failed', failed);
}

async function measure() {
  if (measuring) return measuring.abort();
  if (!model || telling) return;
  const mine = (measuring = new AbortController());
  enable();
  $('measure').textContent = 'Stop';
  note('Warming up…');
  try {
    figures = await model.bench({
      signal: mine.signal,
      onProgress: ({ loaded, total }) => loaded > 0 && note(`${loaded} of ${total} measured`),
    });
    showFigures($('figures'), figures);
    $('origin').textContent = origin(figures);
    $('measured').hidden = $('copy').hidden = false;
    $('copy').textContent = 'Copy as JSON';
    note('Medians, and how far the measurements lie from them.');
  } catch (error) {
    note(mine.signal.aborted ? 'Stopped' : error.message, !mine.signal.aborted);
  } finally {
    measuring = undefined;
    $('measure').textContent = 'Measure';
    enable();
  }
}

/** Copies the result as `halfbyte bench --json` would print it. */
async function copy() {
  try {
    await navigator.clipboard.writeText(JSON.stringify([figures], null, 2));
    $('copy').textContent = 'Copied';
  } catch {
    note('Copying is not allowed here; the figures are on the console.', true);
    console.log(JSON.stringify([figures], null, 2));
  }
}

// ---- Events

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  tell();
});
$('prompt').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) tell();
});
$('stop').addEventListener('click', () => telling?.abort());
$('measure').addEventListener('click', measure);
$('copy').addEventListener('click', copy);

$('file').addEventListener('change', ({ target }) => {
  const [file] = target.files;
  if (file) open(file, file.name);
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  $('drop').hidden = false;
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) $('drop').hidden = true;
});
addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  const [file] = event.dataTransfer.files;
  if (file) open(file, file.name);
});

open(defaultModel, 'Storyteller');
