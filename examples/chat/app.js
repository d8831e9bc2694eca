// The page: three parts (chat, model, measurements) around one model.
import { capabilities, defaultModel, load } from '../../web/index.js';
import { setUpChat } from './chat.js';
import { $, megabytes, say } from './dom.js';
import { setUpMeasures } from './measures.js';
import { setUpSources } from './sources.js';
import { readyForOffline } from './offline.js';

/** What the parts share. They hear of a change by the event `change`. */
class State extends EventTarget {
  /** The loaded model. @type {import('../../web/index.js').Model | undefined} */
  model = undefined;
  name = '';
  /** What the model is used for at the moment. @type {AbortController | undefined} */
  busy = undefined;
  #loading = new AbortController();

  changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** Runs something that needs the model alone. @param {(signal: AbortSignal) => Promise<void>} body */
  async use(body) {
    if (this.busy) return;
    const mine = (this.busy = new AbortController());
    this.changed();
    try {
      await body(mine.signal);
    } finally {
      if (this.busy === mine) this.busy = undefined;
      this.changed();
    }
  }

  /**
   * Loads a model in the place of the one before.
   * @returns {Promise<boolean>} whether it is there; false if it was given up for another one
   */
  async open(source, name, onProgress) {
    this.#loading.abort();
    this.busy?.abort();
    const mine = (this.#loading = new AbortController());
    const before = this.model;
    this.model = undefined;
    this.name = name;
    this.changed();
    await before?.dispose();
    const model = await load(source, { signal: mine.signal, onProgress });
    if (mine.signal.aborted) {
      await model.dispose();
      return false;
    }
    this.model = model;
    this.changed();
    return true;
  }

  /** Gives up a load that is under way; what was downloaded is kept. */
  pause() {
    this.#loading.abort();
  }
}

const state = new State();

// ---- Tabs

const tabs = [...document.querySelectorAll('[role=tab]')];

export function show(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute('aria-selected', String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute('aria-controls')).hidden = !chosen;
  }
}

for (const tab of tabs) {
  tab.addEventListener('click', () => show(tab));
  tab.addEventListener('keydown', ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    show(next);
    next.focus();
  });
}

// ---- How the model runs

state.addEventListener('change', () => {
  const { model } = state;
  if (!model) return;
  const { variant, threads, threadsReason, memoryBytes, notes } = model.info;
  $('threads').textContent = threads;
  $('variant').textContent = variant.replace('-threads', '');
  $('memory').textContent = megabytes(memoryBytes);
  const fix = capabilities().threads.fix;
  const reasons = [
    ...(threadsReason
      ? [`One thread only: ${threadsReason}.`, fix ? `To change that, ${fix}.` : '']
      : []),
    ...notes,
  ];
  $('why').hidden = reasons.length === 0;
  $('why').textContent = reasons.join(' ');
});

// ---- Loading

/** Loads a model, telling how that goes. */
async function open(source, name) {
  const progress = $('progress');
  progress.hidden = false;
  progress.removeAttribute('value');
  say('status', `Loading ${name}…`);
  try {
    const there = await state.open(
      source,
      name,
      ({ loaded, total, bytesPerSecond, secondsLeft }) => {
        if (total) progress.value = loaded / total;
        say('status', progressText(loaded, total, bytesPerSecond, secondsLeft));
        say('source-status', $('status').textContent);
      },
    );
    if (!there) return false;
    say('status', `${name} is ready.`);
    say('source-status', `${name} is ready.`);
    progress.hidden = true;
    return true;
  } catch (error) {
    progress.hidden = true;
    const stopped = error.name === 'AbortError';
    for (const id of ['status', 'source-status'])
      say(id, stopped ? 'Paused: what is here stays here.' : error.message, !stopped);
    return false;
  }
}

function progressText(loaded, total, bytesPerSecond, secondsLeft) {
  const parts = [total ? `${megabytes(loaded)} of ${megabytes(total)}` : megabytes(loaded)];
  if (bytesPerSecond) parts.push(`${megabytes(bytesPerSecond)}/s`);
  if (secondsLeft > 1)
    parts.push(
      secondsLeft > 90
        ? `${Math.round(secondsLeft / 60)} min left`
        : `${Math.round(secondsLeft)} s left`,
    );
  return parts.join(', ');
}

setUpChat(state);
setUpSources(state, open);
setUpMeasures(state);
await readyForOffline();
open(defaultModel, 'Storyteller');
