// Starts the worker that runs templates where the name of a package can be imported: in Node, and
// in what a bundler made.
import * as jinja from '@huggingface/jinja';
import { renderLoop } from './render-loop.js';

renderLoop(/** @type {any} */ (jinja));
