// The worker that runs templates: apart from the engine's, so that one that does not end can be
// ended.
import { parentPort } from '../platform.js';
import { render } from './template.js';

/** @import { Jinja } from './template.js' */

/** Answers requests, one after the other. @param {Jinja} jinja */
export function renderLoop(jinja) {
  const port = parentPort();
  port.listen((request) => {
    try {
      port.post({ type: 'rendered', value: render(jinja, request) });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      port.post({ type: 'refused', reason });
    }
  });
  port.post({ type: 'ready' });
}
