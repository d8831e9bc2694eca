// A worker that computes for an engine. It waits inside the module for work and never comes back.
import { parentPort } from './platform.js';
import { joinCrew } from './variants.js';

const port = parentPort();

port.listen(({ line }) => {
  line.onmessage = (/** @type {MessageEvent} */ { data: { module, memory, plan } }) => {
    try {
      joinCrew(module, memory, plan, () => port.post({ type: 'ready' }));
    } catch (error) {
      port.post({ type: 'failed', reason: String(error) });
    }
  };
});
