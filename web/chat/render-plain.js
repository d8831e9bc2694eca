// The same for files that a server hands out as they are. There a worker cannot import a package by
// its name (import maps do not reach workers), but npm puts it at a known place.
import { parentPort } from '../platform.js';
import { renderLoop } from './render-loop.js';

const FILE = '@huggingface/jinja/dist/index.js';
const PLACES = [
  `../../../${FILE}`, // beside halfbyte in node_modules
  `../../node_modules/${FILE}`, // below halfbyte
];

const HERE = import.meta.url;

for (const place of PLACES) {
  const url = new URL(place, HERE).href;
  const jinja = await import(/* @vite-ignore */ /* webpackIgnore: true */ url).catch(() => undefined);
  if (jinja) {
    renderLoop(jinja);
    break;
  }
  if (place === PLACES.at(-1)) parentPort().post({ type: 'failed', reason: `${url} cannot be loaded` });
}
