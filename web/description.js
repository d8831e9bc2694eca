// What a model is, by its header.
import { sessionMemory } from './session.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { Loaded } from './session.js' */

/** @param {Core} core @param {Pointer} model */
export function modelInfo(core, model) {
  return core.scope((allocate) => {
    const at = allocate(core.sizeOf('hb_model_info'));
    core.call('hb_model_get_info', model, at);
    return core.read('hb_model_info', at);
  });
}

/**
 * What a model's file says about it, in the words of JavaScript.
 * @param {Loaded} loaded
 * @param {number} contextLength
 */
export function describeModel(loaded, contextLength) {
  const info = modelInfo(loaded.core, loaded.model);
  return {
    architecture: info.architecture,
    name: info.name,
    layers: info.layers,
    width: info.width,
    heads: info.heads,
    kvHeads: info.kv_heads,
    headSize: info.head_size,
    feedForward: info.feed_forward,
    vocabulary: info.vocabulary,
    trainedContextLength: info.context_length,
    parameters: info.parameters,
    fileBytes: info.file_bytes,
    weightBytes: info.weight_bytes,
    contextLength,
    sessionBytes: sessionMemory(loaded, contextLength),
  };
}
