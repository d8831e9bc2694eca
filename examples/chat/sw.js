// The service worker: keeps every file of the page, and gives what it kept where there is no network.
const KEPT = 'halfbyte-page';
const OWN_MODELS = new URL('../models/', self.location).href;

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const ours = new URL(request.url).origin === self.location.origin;
  const range = request.headers.get('Range');
  if (!ours || request.method !== 'GET' || isDownload(request.url)) return;
  // A range from the start on may be answered by the whole.
  if (!range) event.respondWith(answer(request));
  else if (range === 'bytes=0-') event.respondWith(answer(new Request(request.url)));
});

/** Models from elsewhere on this host have a cache of their own, and may be of any size. */
const isDownload = (url) => new URL(url).pathname.endsWith('.gguf') && !url.startsWith(OWN_MODELS);

async function answer(request) {
  const cache = await caches.open(KEPT);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
    if (kept) return kept;
    throw error;
  }
}
