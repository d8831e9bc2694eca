// The page: loads a model, continues what is written in the box, shows how fast and by what means.
import { capabilities, defaultModel, load } from '../../web/index.js';

const $ = (id) => document.getElementById(id);
const story = $('story');

/** The model in use, and what ends the load or the story that is under way. */
let model;
let loading = new AbortController();
let telling;

function say(text, failed = false) {
  $('status').textContent = text;
  $('status').classList.toggle('failed', failed);
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

// ---- Loading

async function open(source, name) {
  loading.abort();
  telling?.abort();
  const mine = (loading = new AbortController());
  $('tell').disabled = true;
  $('progress').hidden = false;
  $('progress').removeAttribute('value');
  $('model-name').textContent = name;
  $('model-facts').textContent = '';
  say('Loading…');
  try {
    const before = model;
    model = undefined;
    await before?.dispose();
    const loaded = await load(source, { signal: mine.signal, onProgress: showProgress });
    if (mine.signal.aborted) return loaded.dispose();
    model = loaded;
    showModel(model.info);
    $('tell').disabled = false;
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
  if (!model || telling) return;
  telling = new AbortController();
  $('tell').disabled = true;
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
    $('tell').disabled = !model;
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

// ---- Events

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  tell();
});
$('prompt').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) tell();
});
$('stop').addEventListener('click', () => telling?.abort());

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
