// A model in its worker. Everything here may block for as long as one slice of a prompt or one
// token takes, and looks at its messages in between.
import { measureModel } from './bench.js';
import { fitPrompt } from './chat/fit.js';
import { ChatPrompt, hasTemplate } from './chat/prompt.js';
import { restoreState, saveState } from './chat/state.js';
import { describeModel, modelInfo } from './description.js';
import { AbortError, ArgumentError, OutOfMemoryError, StateError } from './generated.js';
import { generate } from './generation.js';
import { describeGguf } from './gguf.js';
import { measureKernels } from './kernels.js';
import { measureLayers } from './layer.js';
import { loadModel } from './loader.js';
import { Measures } from './measures.js';
import { breathe } from './platform.js';
import { defaultsOf, explainShortage, planModel } from './plan.js';
import { quantizeFiles } from './quantize/work.js';
import { Session, allLogits } from './session.js';
import { Tokenizer } from './tokenizer.js';
import { finetuneFiles } from './train/work.js';
import { makeMachine } from './variants.js';

/** @import { AdapterSource } from './adapters.js' */
/** @import { BenchArgs } from './bench.js' */
/** @import { Conversation } from './chat/messages.js' */
/** @import { Rendered, RenderRequest } from './chat/template.js' */
/** @import { EmbedArgs } from './embedding.js' */
/** @import { GenerateArgs } from './generation.js' */
/** @import { TensorType } from './kernels.js' */
/** @import { CompareArgs } from './measures.js' */
/** @import { EmitChunk, QuantizeCall } from './quantize/work.js' */
/** @import { ScoringArgs } from './scoring.js' */
/** @import { Loaded } from './session.js' */
/** @import { DownloadSettings, Pull, Source } from './sources.js' */
/** @import { FinetuneCall } from './train/work.js' */
/** @import { Crew, Machine } from './variants.js' */

/** @typedef {(event: any) => void} Emit tells the caller of something while a call runs */
/**
 * Set from outside while a call runs.
 * @typedef {{ aborted: boolean, onAbort?: (() => void) | undefined }} Watch
 */

/**
 * What the engine asks of its surroundings.
 * @typedef {object} Host
 * @property {Pull} pull
 * @property {(crew: Crew) => Promise<void>} startThreads
 * @property {(request: RenderRequest) => Promise<Rendered>} render
 */

/**
 * @typedef {object} EngineOptions
 * @property {number} [threads]
 * @property {number} [contextLength]
 * @property {'scalar' | 'simd128' | 'relaxed'} [isa]
 * @property {'f16' | 'f32'} [kv]
 * @property {boolean} [divideAll]
 * @property {DownloadSettings} [download]
 */

export class Engine {
  #host;
  /** @type {Machine & Loaded & { loadSeconds: number } | undefined} */ #loaded;
  /** @type {Tokenizer | undefined} */ #tokenizer;
  /** @type {Session | undefined} */ #session;
  /** @type {Measures | undefined} */ #measures;
  /** @type {ChatPrompt | undefined} */ #chatPrompt;
  /** Of the model that is loaded, or was to be. @type {WebAssembly.Memory | undefined} */ #memory;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  // ---- Loading

  /**
   * @param {{ sources: Source[], adapters?: AdapterSource[], options: EngineOptions }} args
   * @param {Emit} emit hears of progress
   */
  async load(args, emit) {
    try {
      return await this.#load(args, emit);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      const granted = this.#memory?.buffer.byteLength ?? 0;
      const plan = await this.plan(args, () => {}).catch(() => undefined);
      throw plan ? explainShortage(error, plan, args.options, granted) : error;
    }
  }

  /**
   * @param {{ sources: Source[], adapters?: AdapterSource[], options: EngineOptions }} args
   * @param {Emit} emit
   */
  async #load({ sources, adapters, options }, emit) {
    const begun = performance.now();
    const loaded = await this.#open(sources, options, false, emit, adapters);
    const loadSeconds = (performance.now() - begun) / 1000 - loaded.makingSeconds;
    const { core, model } = loaded;
    const tokenizer = core.call('hb_model_tokenizer', model);
    if (tokenizer) this.#tokenizer = new Tokenizer(core, tokenizer);
    this.#session = new Session(loaded, options.contextLength ?? 0);
    this.#loaded = { ...loaded, loadSeconds };
    const { contextLength } = this.#session;
    const { variant, isa, kv, threads, threadsReason, notes, notKept, lora } = loaded;
    return {
      ...describeModel(loaded, contextLength),
      loadSeconds,
      memoryBytes: core.memory.buffer.byteLength,
      tokenizer: this.#tokenizer?.info,
      hasChatTemplate: hasTemplate(core, core.call('hb_model_gguf', model)),
      variant,
      isa: core.cstring(core.call('hb_isa_name', isa)),
      kv,
      threads,
      threadsReason,
      notes,
      notKept,
      lora,
    };
  }

  /**
   * Reads the header only.
   * @param {{ sources: Source[], options: EngineOptions }} args
   * @param {Emit} emit
   */
  async inspect({ sources, options }, emit) {
    const loaded = await this.#open(sources, { ...options, threads: 1 }, true, emit);
    const { core, model } = loaded;
    const contextLength = options.contextLength ?? modelInfo(core, model).context_length;
    return {
      ...describeModel(loaded, contextLength),
      ...describeGguf(core, model),
    };
  }

  /**
   * What the model would take, from the header only.
   * @param {{ sources: Source[], options: EngineOptions }} args
   * @param {Emit} emit
   */
  async plan({ sources, options }, emit) {
    const loaded = await this.#open(sources, { ...options, threads: 1 }, true, emit);
    const { context_length: trained } = modelInfo(loaded.core, loaded.model);
    const { contextLength } = defaultsOf(options, trained);
    return planModel(loaded, describeModel(loaded, contextLength), options);
  }

  /**
   * @param {Source[]} sources
   * @param {EngineOptions} options
   * @param {boolean} headerOnly
   * @param {Emit} emit
   * @param {AdapterSource[]} [adapters]
   */
  async #open(sources, options, headerOnly, emit, adapters) {
    const { pull, startThreads } = this.#host;
    const machine = await makeMachine(options, startThreads);
    const { core, isa, parallel } = machine;
    this.#memory = core.memory;
    const how = { isa, parallel, headerOnly, pull, emit, download: options.download, adapters };
    const read = await loadModel(core, sources, how);
    const { vocabulary } = modelInfo(core, read.model);
    return { ...machine, ...read, vocabulary, kv: options.kv ?? 'f16' };
  }

  // ---- Quantizing and training, without a model

  /** @param {QuantizeCall} args @param {EmitChunk} emit */
  quantize(args, emit) {
    return quantizeFiles(args, this.#host, emit);
  }

  /** @param {FinetuneCall} args @param {EmitChunk} emit @param {Watch} watch */
  finetune(args, emit, watch) {
    return finetuneFiles(args, this.#host, emit, watch);
  }

  // ---- Tokenizing

  /** @param {{ text: string, bos: boolean, special: boolean }} args */
  tokenize(args) {
    return this.#requireTokenizer().tokenize(args);
  }

  /** @param {{ tokens: number[], special: boolean }} args */
  detokenize(args) {
    this.#checkTokens(args.tokens);
    return this.#requireTokenizer().detokenize(args);
  }

  /** @param {{ tokens: number[] }} args */
  tokenTexts(args) {
    this.#checkTokens(args.tokens);
    return this.#requireTokenizer().tokenTexts(args);
  }

  #requireTokenizer() {
    if (!this.#tokenizer) throw new StateError('this model came without a tokenizer');
    return this.#tokenizer;
  }

  /** @param {number[]} tokens */
  #checkTokens(tokens) {
    const { vocabulary } = this.#requireModel();
    const wrong = tokens.findIndex((token) => token >= vocabulary);
    if (wrong >= 0)
      throw new ArgumentError(
        `tokens[${wrong}] is ${tokens[wrong]}; the vocabulary has ${vocabulary}`,
      );
  }

  #requireModel() {
    if (!this.#loaded) throw new StateError('no model is loaded');
    return this.#loaded;
  }

  // ---- Computing

  /**
   * The logits of every position of a text of its own.
   * @param {{ tokens: number[], split: 'whole' | 'pieces' | 'single' }} args
   * @param {Emit} emit
   * @param {Watch} watch
   * @returns {Promise<Float32Array>} [tokens][vocabulary]
   */
  async logits({ tokens, split }, emit, watch) {
    this.#checkTokens(tokens);
    const steps = allLogits(this.#requireModel(), tokens, split);
    try {
      for (;;) {
        await breathe();
        if (watch.aborted) throw new AbortError('the computation of logits was aborted');
        const { done, value } = steps.next();
        if (done) return value;
      }
    } finally {
      steps.return(new Float32Array(0));
    }
  }

  /**
   * The tokens that the model's template makes of a conversation.
   * @param {{ prompt: Conversation }} args
   * @param {Emit} emit
   * @param {Watch} watch
   * @returns {Promise<number[]>}
   */
  chatTokens({ prompt }, emit, watch) {
    return this.#chat().tokens(prompt, watch);
  }

  #chat() {
    const { core, model } = this.#requireModel();
    const gguf = core.call('hb_model_gguf', model);
    return (this.#chatPrompt ??= new ChatPrompt(
      core,
      gguf,
      this.#requireTokenizer(),
      this.#host.render,
    ));
  }

  /**
   * Continues a prompt.
   * @param {{ prompt: string | number[] | Conversation, options: GenerateArgs }} args
   * @param {Emit} emit
   * @param {Watch} watch
   */
  async stream({ prompt, options }, emit, watch) {
    const { core } = this.#requireModel();
    const session = /** @type {Session} */ (this.#session);
    const tokensOf = async (/** @type {string | number[] | Conversation} */ each) => {
      if (typeof each === 'string')
        return this.#requireTokenizer().promptTokens(each, options.special);
      if (!Array.isArray(each)) return this.#chat().tokens(each, watch);
      this.#checkTokens(each);
      return each;
    };
    const fitting = await fitPrompt(prompt, session.contextLength, {
      policy: options.contextPolicy,
      bos: this.#tokenizer?.info.bos,
      tokensOf,
    });
    return generate(core, session, fitting, options, emit, watch);
  }

  /**
   * What the model has read, to be taken up again.
   * @param {{}} args
   * @param {Emit} emit
   * @param {Watch} watch
   */
  saveState(args, emit, watch) {
    const { core } = this.#requireModel();
    return saveState(core, /** @type {Session} */ (this.#session), watch);
  }

  /**
   * @param {{ blob: Blob }} args
   * @param {Emit} emit
   * @param {Watch} watch
   */
  restoreState({ blob }, emit, watch) {
    const { core } = this.#requireModel();
    return restoreState(core, /** @type {Session} */ (this.#session), blob, watch);
  }

  // ---- Measuring

  #requireMeasures() {
    this.#measures ??= new Measures(this.#requireModel(), this.#requireTokenizer());
    return this.#measures;
  }

  /** @param {EmbedArgs} args @param {Emit} emit @param {Watch} watch */
  embed(args, emit, watch) {
    const { core, model } = this.#requireModel();
    const { width } = modelInfo(core, model);
    const { contextLength: most } = /** @type {Session} */ (this.#session);
    for (const each of args.texts) if (typeof each !== 'string') this.#checkTokens(each);
    return this.#requireMeasures().embed(args, { width, most }, emit, watch);
  }

  /** @param {ScoringArgs} args @param {Emit} emit @param {Watch} watch */
  perplexity(args, emit, watch) {
    return this.#requireMeasures().perplexity(args, emit, watch);
  }

  /** @param {CompareArgs} args */
  compare(args) {
    return this.#requireMeasures().compare(args);
  }

  /** @param {BenchArgs} args @param {Emit} emit @param {Watch} watch */
  bench(args, emit, watch) {
    const loaded = this.#requireModel();
    const info = modelInfo(loaded.core, loaded.model);
    const session = /** @type {Session} */ (this.#session);
    return measureModel({ ...loaded, info }, session, args, emit, watch);
  }

  /**
   * Without a model.
   * @param {{ options: EngineOptions, types: TensorType[] }} args
   * @param {Emit} emit
   * @param {Watch} watch
   */
  async kernels({ options, types }, emit, watch) {
    const machine = await makeMachine(options, this.#host.startThreads);
    return measureKernels(machine, types, emit, watch);
  }

  /**
   * Without a model, too.
   * @param {{ options: EngineOptions }} args
   * @param {Emit} emit
   * @param {Watch} watch
   */
  async layers({ options }, emit, watch) {
    const machine = await makeMachine(options, this.#host.startThreads);
    const { core, threads, threadsReason } = machine;
    const isa = core.cstring(core.call('hb_isa_name', machine.isa));
    return { speeds: await measureLayers(machine, emit, watch), threads, threadsReason, isa };
  }
}
