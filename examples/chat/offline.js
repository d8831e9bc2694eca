// Makes the page work without a network after the first visit.

/** Resolves when whatever is fetched from now on is kept, or at once where that is not possible. */
export async function readyForOffline() {
  const workers = navigator.serviceWorker;
  if (!workers) return;
  try {
    const { installing } = await workers.register('sw.js', { scope: '/' });
    if (installing) await inCharge(installing);
    if (!workers.controller) return; // a forced reload goes past it
    // What came before the service worker did not pass through it.
    const before = performance.getEntriesByType('resource').map(({ name }) => name);
    await Promise.all([location.href, ...before].filter(isOurs).map((url) => fetch(url)));
  } catch {
    // Private windows and hosts without HTTPS allow none: the page then needs its network.
  }
}

/** Resolves when a new service worker controls this page, or never will. */
const inCharge = (worker) =>
  new Promise((resolve) => {
    navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true });
    worker.addEventListener('statechange', () => worker.state === 'redundant' && resolve());
  });

const isOurs = (url) => new URL(url).origin === location.origin;
