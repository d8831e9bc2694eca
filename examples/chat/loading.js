// The bar that shows how a load goes, and stops it or goes on with it.
import { $, megabytes, say, timeText } from './dom.js';

/** Both places that tell how a load began and ended; its figures stand by the bar. */
const sayAll = (text, failed) => {
  for (const id of ['status', 'source-status']) say(id, text, failed);
};

/** @returns {(source: any, name: string, options?: object) => Promise<void>} loads a model */
export function setUpLoading(state) {
  /** What is loaded, or was paused. */
  let current;

  async function open(source, name, options = {}) {
    // What is kept of a download waits for the next attempt; a file is read anew.
    const mine = (current = { source, name, options, going: true, lasts: isAddress(source) });
    $('progress').removeAttribute('value');
    $('loading-text').textContent = name;
    $('pause').textContent = mine.lasts ? 'Pause' : 'Stop';
    $('loading').hidden = false;
    sayAll(`Loading ${name}…`);
    try {
      const onProgress = (progress) => mine === current && showProgress(progress);
      if (!(await state.open(source, name, { ...options, onProgress }))) return;
      sayAll(`${name} is ready.`);
      $('loading').hidden = true;
    } catch (error) {
      if (mine === current) stopped(mine, error);
    } finally {
      mine.going = false;
      state.dispatchEvent(new Event('attempted'));
    }
  }

  function stopped({ name, lasts }, error) {
    if (error.name !== 'AbortError') sayAll(`${name}: ${error.message}`, true);
    else sayAll(lasts ? `${name} is paused: what is here stays here.` : 'Stopped.');
    $('loading').hidden = !lasts;
    $('pause').textContent = 'Go on';
  }

  $('pause').addEventListener('click', () => {
    if (current.going) state.pause();
    else open(current.source, current.name, current.options);
  });
  return open;
}

const isAddress = (source) => typeof source === 'string';

function showProgress({ phase, loaded, total, bytesPerSecond, secondsLeft }) {
  if (total) $('progress').value = loaded / total;
  const parts = [total ? `${megabytes(loaded)} of ${megabytes(total)}` : megabytes(loaded)];
  if (phase === 'wait') parts.push('another tab is fetching it');
  if (bytesPerSecond) parts.push(`${megabytes(bytesPerSecond)}/s`);
  if (secondsLeft > 1) parts.push(`${timeText(secondsLeft)} left`);
  $('loading-text').textContent = parts.join(', ');
}
