import { fromPackage } from './packaged.js';

/**
 * The model that comes with the package: a Llama of 5.8 million parameters that tells fairy tales.
 * In a module of its own, so that a bundler copies the file only where this is imported.
 */
export const defaultModel = fromPackage(
  new URL('../examples/models/tales-5.8m-q4_0.gguf', import.meta.url),
);
