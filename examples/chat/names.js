// What models are called, and what they are asked for by.
import { $ } from './dom.js';

/** The last part of an address. */
export const nameOf = (source) =>
  String(source).split(/[?#]/)[0].split('/').at(-1) || String(source);

/** Where `hf:` names are looked up. */
export const hubOptions = () => {
  const hub = $('hub').value.trim();
  return hub ? { hub } : {};
};

/**
 * What an entry of the cache was asked for by: an address, or a name and the hub that it is of.
 * @param {string} identity
 */
export function askedFor(identity) {
  const [, hub, source] = /^(?:(https?:\S+) (?=hf:))?(.*)$/s.exec(identity);
  return { source, options: hub ? { hub } : {} };
}
