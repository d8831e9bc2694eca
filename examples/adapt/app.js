// The page: trains an adapter of the default model on a text, and shows what it does.
import { Comparing } from './comparing.js';
import { setUpTraining } from './training.js';

const comparing = new Comparing();
setUpTraining((adapter) => void comparing.take(adapter));
