// Training in a worker, which looks at its messages between steps.
import { EngineError } from '../error.js';
import { ArgumentError, ISA } from '../generated.js';
import { breathe } from '../platform.js';
import { Progress } from '../progress.js';
import { Files } from '../quantize/files.js';
import { openAgain, openShards } from '../quantize/open.js';
import { corpusMaker } from './corpus.js';
import { trainMachine } from './machine.js';

/** @import { Pointer } from '../core.js' */
/** @import { Host, Watch } from '../engine.js' */
/** @import { FileMachine } from '../file-machine.js' */
/** @import { EmitChunk } from '../quantize/work.js' */
/** @import { Source } from '../sources.js' */
/** @import { Corpus } from './corpus.js' */
/** @import { FinetuneArgs, Finetuning, TrainingStep } from './options.js' */

/**
 * A call of the worker.
 * @typedef {object} FinetuneCall
 * @property {Source[]} sources
 * @property {string[]} documents
 * @property {string[]} validation
 * @property {FinetuneArgs} options
 * @property {string} run
 */

/** @typedef {Omit<Finetuning, 'adapter'> & { bytes: Uint8Array[] }} FinetuneOutcome */

const USUAL_LENGTH = 128;

/**
 * @param {FinetuneCall} call
 * @param {Pick<Host, 'pull' | 'startThreads'>} host
 * @param {EmitChunk} emit
 * @param {Watch} watch
 * @returns {Promise<FinetuneOutcome>}
 */
export async function finetuneFiles(call, { pull, startThreads }, emit, watch) {
  const progress = new Progress((event) => emit({ progress: event }));
  const machine = await trainMachine(call.options.threads, startThreads);
  const { run, options } = call;
  const files = new Files(machine, { pull, settings: options.download, progress, run });
  try {
    const gguf = await openAgain(files, () => openShards(machine, files, call.sources));
    const training = new Training(machine, gguf, call);
    progress.close();
    return await training.run((step) => emit({ step }), watch);
  } finally {
    progress.close();
    await files.close();
  }
}

class Training {
  #machine;
  #options;
  #text;
  #validation;
  #length;
  /** @type {Pointer} */ #trainer;
  #seconds = 0;
  /** @type {number[]} */ #losses = [];
  /** @type {Finetuning['validation']} */ #measured = [];

  /** @param {FileMachine} machine @param {Pointer} gguf @param {FinetuneCall} call */
  constructor(machine, gguf, { documents, validation, options }) {
    const corpusOf = corpusMaker(machine.core, gguf);
    this.#machine = machine;
    this.#options = options;
    this.#text = corpusOf(documents);
    this.#validation = validation.length > 0 ? corpusOf(validation) : undefined;
    this.#length = options.length ?? usualLength(this.#text, this.#validation);
    this.#trainer = this.#create(gguf);
  }

  /** @param {Pointer} gguf */
  #create(gguf) {
    const { core, parallel } = this.#machine;
    const { steps, sequences, seed, isa, others } = this.#options;
    const said = { steps, sequences, length: this.#length, ...others };
    const keep = (/** @type {string} */ text) =>
      core.putText(core.allocate.bind(core), `${text}\0`);
    for (const [name, value] of Object.entries(said)) {
      const number = typeof value === 'number' ? value : 0;
      const text = typeof value === 'string' ? keep(value).data : 0;
      if (core.call('hb_wasm_set_option', keep(name).data, text, number) === 0)
        throw new EngineError(`the module knows no option ${name}`);
    }
    const how = /** @type {const} */ ([seed, ISA[isa], parallel]);
    return this.#machine.result('hb_wasm_train', gguf, ...this.#text.args, ...how);
  }

  /**
   * @param {(step: TrainingStep) => void} tell
   * @param {Watch} watch
   * @returns {Promise<FinetuneOutcome>}
   */
  async run(tell, watch) {
    const { steps, validationEvery } = this.#options;
    if (this.#validation) tell({ step: 0, steps, validation: this.#validate(0) });
    let step = 0;
    while (step < steps && !watch.aborted) {
      const loss = this.#step();
      step++;
      const speed = (step * this.#stepTokens) / this.#seconds;
      const measures = this.#validation && (step % validationEvery === 0 || step === steps);
      tell({
        ...{ step, steps, loss, tokensPerSecond: speed },
        secondsLeft: ((steps - step) * this.#stepTokens) / speed,
        ...(measures && { validation: this.#validate(step) }),
      });
      await breathe();
    }
    return this.#outcome();
  }

  get #stepTokens() {
    return this.#options.sequences * this.#length;
  }

  #step() {
    const begun = performance.now();
    const loss = this.#machine.core.resultF64('hb_wasm_train_step', this.#trainer);
    this.#seconds += Math.max(performance.now() - begun, 0.005) / 1000; // some clocks tick slowly
    this.#losses.push(loss);
    return loss;
  }

  /** @param {number} step */
  #validate(step) {
    const { args } = /** @type {Corpus} */ (this.#validation);
    const loss = this.#machine.core.resultF64('hb_wasm_train_evaluate', this.#trainer, ...args);
    this.#measured.push({ step, loss });
    return loss;
  }

  /** @returns {FinetuneOutcome} */
  #outcome() {
    const steps = this.#losses.length;
    const { threads, threadsReason } = this.#machine;
    return {
      bytes: this.#write(),
      ...{ steps, stopped: steps < this.#options.steps, losses: this.#losses },
      validation: this.#measured,
      documents: this.#text.documents,
      textTokens: this.#text.count,
      tokens: steps * this.#stepTokens,
      length: this.#length,
      seconds: this.#seconds,
      ...{ threads, threadsReason },
    };
  }

  #write() {
    /** @type {Uint8Array[]} */
    const pieces = [];
    this.#machine.listener = { write: (bytes) => void pieces.push(bytes.slice()) };
    this.#machine.check('hb_wasm_train_write', this.#trainer);
    return pieces;
  }
}

/** As many tokens as each text has. @param {Corpus} text @param {Corpus} [validation] */
function usualLength(text, validation) {
  const length = Math.min(USUAL_LENGTH, text.count, validation?.count ?? USUAL_LENGTH);
  if (length < 2) throw new ArgumentError('the text has fewer than two tokens');
  return length;
}
