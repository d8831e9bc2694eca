// Runs in a browser's worker: what the tests of the cache do to it there.
import { openEntry } from '../../web/cache/entry.js';
import { CHUNK } from '../../web/cache/manifest.js';
import { openStore } from '../../web/cache/store.js';
import { sha256 } from '../../web/hash.js';

const SIZE = CHUNK + 1000;
const bytes = new Uint8Array(SIZE).map((_, i) => i * 7 + (i >> 8));
const IDENTITY = 'https://host.example/model.gguf';

/** What is held until it is let go. */
let letGo;

export const commands = {
  kind: async () => (await openStore()).kind,
  persist: async () => (await openStore()).persist(),

  async store() {
    const store = await openStore();
    const place = await store.open('a.part', { create: true });
    await place.write(1000, bytes.subarray(0, 500));
    const into = new Uint8Array(600);
    const count = await place.read(900, into);
    const right = into.subarray(0, 100).every((b) => b === 0) && into[100 + 5] === bytes[5];
    await place.truncate(20);
    const size = await place.size();
    await place.flush();
    await place.close();
    await store.writeText('b.json', 'old');
    await store.writeText('b.json', 'new');
    await store.rename('b.json', 'a.part');
    const text = await store.readText('a.part');
    const left = (await store.list()).filter(({ name }) => /^[ab]\./.test(name));
    await store.remove('a.part');
    await store.remove('a.part');
    const gone = await store.readText('a.part');
    const absent = await store.open('a.part').catch((error) => error.name);
    return { count, right, size, text, left, gone: gone ?? null, absent };
  },

  async begin(parts = [0, 1]) {
    const store = await openStore();
    const entry = await openEntry(store, IDENTITY);
    await entry.begin({ url: IDENTITY, size: SIZE });
    for (const i of parts) await put(entry, i);
    await entry.save();
    globalThis.entry = entry;
  },

  async commit() {
    const { entry } = globalThis;
    await entry.commit(await entry.hashAll());
  },

  async finish() {
    const store = await openStore();
    return store.lock('whole', {}, async () => {
      const entry = await openEntry(store, IDENTITY);
      const { stored } = entry;
      await entry.resume();
      const whole = [await entry.verifyChunk(0), await entry.verifyChunk(1)];
      for (let i = 0; i < 2; i++) if (!whole[i]) await put(entry, i);
      await entry.commit(await entry.hashAll());
      return { stored, whole };
    });
  },

  async damage() {
    const store = await openStore();
    const entry = await openEntry(store, IDENTITY);
    const place = await store.open(entry.names.whole, { write: true });
    await place.write(5, new Uint8Array([bytes[5] ^ 1]));
    await place.close();
  },

  async check() {
    const entry = await openEntry(await openStore(), IDENTITY);
    const digest = entry.complete ? await entry.hashAll() : undefined;
    await entry.close();
    return { complete: entry.complete, right: digest === (await sha256(bytes)) };
  },

  async shared() {
    const store = await openStore();
    const place = await store.open('s.part', { create: true });
    const memory = new Uint8Array(new SharedArrayBuffer(100)).fill(9);
    await place.write(0, memory);
    const count = await place.read(0, memory);
    await place.close();
    const reader = await store.open('s.part');
    const again = await reader.read(0, memory);
    await store.remove('s.part');
    return [count, again];
  },

  async hold() {
    const store = await openStore();
    await new Promise((held) => {
      void store.lock('x', {}, () => new Promise((resolve) => (held(), (letGo = resolve))));
    });
  },
  letGo: async () => letGo(),
  async take(wait) {
    return (await openStore()).lock('x', { wait }, async () => 'taken');
  },
  async giveUp() {
    const stop = new AbortController();
    const taking = (await openStore()).lock('x', { signal: stop.signal }, async () => 'taken');
    stop.abort();
    return taking.catch((error) => error.name);
  },

  /** Replaces the manifests of an entry until it is told to stop. */
  async replaceOften() {
    const { entry } = globalThis;
    let stopped = false;
    letGo = () => (stopped = true);
    void (async () => {
      while (!stopped) await entry.save();
    })();
  },

  /** Writes until there is no more room. */
  async fill(most) {
    const store = await openStore();
    const place = await store.open('full.part', { create: true });
    const piece = new Uint8Array(4 << 20);
    try {
      for (let at = 0; at < most; at += piece.length) await place.write(at, piece);
      return undefined;
    } catch ({ name, needed, available, message }) {
      return { name, needed, available, message };
    } finally {
      await place.close();
      await store.remove('full.part');
    }
  },
};

async function put(entry, index) {
  const chunk = bytes.subarray(index * CHUNK, (index + 1) * CHUNK);
  await entry.write(index * CHUNK, chunk);
  entry.setChunk(index, await sha256(chunk));
}

if (typeof WorkerGlobalScope === 'function' && self instanceof WorkerGlobalScope) {
  addEventListener('message', async ({ data: { name, args } }) => {
    try {
      postMessage({ value: await commands[name](...args) });
    } catch (error) {
      postMessage({ error: `${name}: ${error.name}: ${error.message}` });
    }
  });
}
