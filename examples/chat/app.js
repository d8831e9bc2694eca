// The page: four parts (chat, model, quantizing, measurements) around one model.
import { defaultModel } from '../../web/index.js';
import { setUpChat } from './chat.js';
import { $ } from './dom.js';
import { setUpDrop } from './drop.js';
import { setUpLoading } from './loading.js';
import { setUpMeasures } from './measures.js';
import { setUpMeter } from './meter.js';
import { readyForOffline } from './offline.js';
import { setUpQuantize } from './quantize.js';
import { setUpSources } from './sources.js';
import { State } from './state.js';
import { setUpTabs } from './tabs.js';

const state = new State();
setUpTabs();
setUpMeter(state);
setUpChat(state);
const open = setUpLoading(state);
setUpSources(state, open);
setUpMeasures(state);
const quantizing = setUpQuantize(open);
const loading = {
  says: 'Drop the GGUF file to load it',
  take: (file) => open(file, file.name),
};
setUpDrop(() => ($('quantize').hidden ? loading : quantizing));
state.changed(); // Firefox gives buttons back what they were before a reload: not at rest
await readyForOffline();
open(defaultModel, 'Storyteller');
