import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { mkdtempSync, openAsBlob, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import {
  ArgumentError,
  OutOfMemoryError,
  StateError,
  capabilities,
  inspect,
  load,
} from '../../web/index.js';
import { split } from '../cli/split.js';
import { serve } from '../../examples/chat/serve.js';
import { PROMPT, collect, greedy, modelPath, root } from './support.js';

describe('a loaded model', () => {
  let model;
  before(async () => (model = await load(modelPath)));
  after(() => model.dispose());

  test('says what it is and how it runs', () => {
    const { info } = model;
    assert.equal(info.architecture, 'llama');
    assert.ok(info.parameters > 5e6);
    assert.ok(info.contextLength > 0 && info.sessionBytes > 0 && info.weightBytes > 0);
    assert.ok(info.memoryBytes > info.weightBytes);
    assert.match(info.variant, /^(simd|relaxed)(-threads)?$/);
    assert.equal(info.isa, info.variant.startsWith('simd') ? 'simd128' : 'relaxed');
    assert.deepEqual(info.notes, []);
  });

  test('runs the variant that capabilities() named', () => {
    const { variant, threads } = capabilities();
    assert.equal(model.info.threads, threads.count);
    assert.equal(model.info.variant, threads.count > 1 ? variant : variant.replace('-threads', ''));
  });

  test('generates strings, and the same as objects with an end', async () => {
    const text = await collect(model.generate(PROMPT, greedy));
    assert.ok(text.length > 20);
    const parts = [];
    for await (const part of model.stream(PROMPT, greedy)) parts.push(part);
    const end = parts.pop();
    assert.equal(parts.map((part) => part.text).join(''), text);
    for (const part of parts.filter((part) => part.token !== undefined)) {
      assert.ok(Number.isInteger(part.token));
      assert.ok(!('logprob' in part));
      assert.equal(part.finishReason, undefined);
    }
    assert.equal(end.finishReason, 'length');
    assert.equal(end.usage.completionTokens, greedy.maxTokens);
    assert.equal(end.usage.promptTokens, (await model.tokenize(PROMPT)).length);
    assert.ok(end.timings.tokensPerSecond > 0 && end.timings.prefillTokensPerSecond > 0);
  });

  test('tells log-probabilities when asked, of the same tokens', async () => {
    const drawn = async (logprobs) => {
      const parts = [];
      const options = { maxTokens: 20, temperature: 1, seed: 3, logprobs };
      for await (const part of model.stream(PROMPT, options))
        if (part.token !== undefined) parts.push(part);
      return parts;
    };
    const prompt = await model.tokenize(PROMPT);
    const parts = await drawn(true);
    const tokens = parts.map(({ token }) => token);
    assert.deepEqual((await drawn(false)).map(({ token }) => token), tokens);
    const { vocabulary } = model.info;
    const rows = await model.logits([...prompt, ...tokens]);
    parts.forEach(({ token, logprob }, i) => {
      const row = rows.subarray((prompt.length + i - 1) * vocabulary).subarray(0, vocabulary);
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      assert.ok(Math.abs(logprob - (row[token] - Math.log(sum))) < 1e-4, `${i}: ${logprob}`);
    });
  });

  test('continues tokens as it does their text', async () => {
    const tokens = await model.tokenize(PROMPT);
    assert.equal(
      await collect(model.generate(Int32Array.from(tokens), greedy)),
      await collect(model.generate(PROMPT, greedy)),
    );
  });

  test('repeats itself for a seed, and not for another', async () => {
    const draw = (seed) => collect(model.generate(PROMPT, { maxTokens: 30, temperature: 1, seed }));
    assert.equal(await draw(7), await draw(7));
    assert.equal(await draw(7), await draw(7n));
    assert.notEqual(await draw(7), await draw(8));
  });

  test('tells the seed that it drew', async () => {
    let text = '';
    let seed;
    for await (const part of model.stream(PROMPT, { maxTokens: 20 })) {
      text += part.text;
      seed = part.seed ?? seed;
    }
    assert.equal(await collect(model.generate(PROMPT, { maxTokens: 20, seed })), text);
  });

  test('stops before a stop text', async () => {
    const whole = await collect(model.generate(PROMPT, greedy));
    const stop = whole.slice(12, 17);
    let end;
    let text = '';
    for await (const part of model.stream(PROMPT, { ...greedy, stop: [stop, 'never'] })) {
      text += part.text;
      end = part;
    }
    assert.equal(text, whole.slice(0, whole.indexOf(stop)));
    assert.equal(end.finishReason, 'stop');
  });

  test('ends when its context is full', async () => {
    const small = await load(modelPath, { contextLength: 24, threads: 1 });
    assert.equal(small.info.contextLength, 24);
    let end;
    for await (const part of small.stream(PROMPT, { temperature: 0, ignoreEos: true })) end = part;
    assert.equal(end.finishReason, 'context');
    const long = small.generate('word '.repeat(100)).next();
    await assert.rejects(long, { name: 'ContextFullError', code: 'CONTEXT_FULL' });
    assert.ok((await collect(small.generate(PROMPT, { maxTokens: 2, temperature: 0 }))).length > 0);
    await small.dispose();
  });

  test('obeys a logit bias', async () => {
    const [token] = await model.tokenize(' dragon', { bos: false });
    const stream = model.stream(PROMPT, {
      temperature: 0,
      maxTokens: 1,
      logitBias: { [token]: 1000 },
    });
    assert.equal((await stream.next()).value.token, token);
    await stream.return();
  });

  test('begins a text of its own for an empty prompt', async () => {
    assert.ok((await collect(model.generate('', { maxTokens: 5, seed: 1 }))).length > 0);
  });

  test('reports how far it has read the prompt', async () => {
    const seen = [];
    const prompt = `${PROMPT} `.repeat(12);
    const onProgress = (progress) => seen.push(progress);
    await collect(model.generate(prompt, { maxTokens: 1, onProgress }));
    const { total } = seen.at(-1);
    assert.ok(seen.every(({ phase }) => phase === 'prefill'));
    assert.equal(seen.at(-1).loaded, total);
    assert.equal(total, (await model.tokenize(prompt)).length);
  });

  test('tokenizes, and detokenizes what it tokenized', async () => {
    for (const text of [PROMPT, '', 'ünï→😀', 'a  b\n\n c']) {
      const tokens = await model.tokenize(text);
      assert.ok(tokens.every(Number.isInteger));
      assert.equal(await model.detokenize(tokens), text);
    }
    const plain = await model.tokenize(PROMPT, { bos: false });
    const texts = await model.tokenTexts(plain);
    assert.equal(texts.length, plain.length);
  });

  test('answers tokenize while a generation is under way', async () => {
    const stream = model.stream(PROMPT, { maxTokens: 200, ignoreEos: true });
    await stream.next();
    assert.ok((await model.tokenize(PROMPT)).length > 0);
    assert.equal((await stream.next()).done, false);
    await stream.return();
  });

  test('computes logits as [tokens][vocabulary]', async () => {
    const tokens = (await model.tokenize(PROMPT)).slice(0, 5);
    const logits = await model.logits(tokens);
    assert.ok(logits instanceof Float32Array);
    assert.equal(logits.length, tokens.length * model.info.vocabulary);
    assert.ok(logits.every(Number.isFinite));
    const last = logits.subarray(-model.info.vocabulary);
    const stream = model.stream(tokens, { temperature: 0, maxTokens: 1 });
    assert.equal(
      (await stream.next()).value.token,
      last.indexOf(last.reduce((a, b) => Math.max(a, b))),
    );
    await stream.return();
    assert.equal((await model.logits([])).length, 0);
  });

  test('answers calls in the order in which they were made', async () => {
    const order = [];
    await Promise.all(
      ['a', 'b', 'c'].map(async (name) => {
        await collect(model.generate(PROMPT, { maxTokens: 5 }));
        order.push(name);
      }),
    );
    assert.deepEqual(order, ['a', 'b', 'c']);
  });

  test('refuses arguments that are out of range, by name', async () => {
    const first = (options, prompt = PROMPT) => model.stream(prompt, options).next();
    for (const options of [
      { temperature: -1 },
      { temperature: NaN },
      { topP: 2 },
      { topK: 1.5 },
      { maxTokens: -1 },
      { seed: -1n },
      { stop: '' },
      { stop: [3] },
      { repetitionPenalty: 'x' },
      { logitBias: { x: 1 } },
    ]) {
      const [name] = Object.keys(options);
      await assert.rejects(first(options), (error) => {
        assert.ok(error instanceof ArgumentError, `${name}: ${error}`);
        assert.ok(error.message.includes(name), error.message);
        return true;
      });
    }
    await assert.rejects(first({}, 5), ArgumentError);
    await assert.rejects(first({}, [model.info.vocabulary]), ArgumentError);
    await assert.rejects(first({}, []), ArgumentError);
    await assert.rejects(model.logits([-1]), ArgumentError);
    await assert.rejects(model.detokenize([2 ** 30]), ArgumentError);
    await assert.rejects(model.tokenize(null), ArgumentError);
    await assert.rejects(model.logits([1], { split: 'halves' }), ArgumentError);
  });
});

describe('load', () => {
  test('gives the same model from every kind of source', async () => {
    const server = await serve();
    const bytes = await readFile(modelPath);
    const url = `${server.url}/examples/models/${modelPath.split(/[\\/]/).at(-1)}`;
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const folder = mkdtempSync(join(tmpdir(), 'halfbyte-'));
    const sources = {
      path: modelPath,
      'file URL': pathToFileURL(modelPath),
      'file URL as text': pathToFileURL(modelPath).href,
      URL: new URL(url),
      'URL as text': url,
      Blob: await openAsBlob(modelPath),
      File: new File([bytes], 'model.gguf'),
      ArrayBuffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
      'typed array': bytes,
      'shared memory': shared,
      'list of one': [modelPath],
      'first of three files': split(folder, 3)[0],
      'list of three files': split(folder, 3),
      'list of Blobs': await Promise.all(split(folder, 2).map((path) => openAsBlob(path))),
    };
    const texts = new Set();
    for (const [kind, source] of Object.entries(sources)) {
      const model = await load(source, { threads: 1, cache: false });
      const text = await collect(model.generate(PROMPT, { ...greedy, maxTokens: 8 }));
      assert.ok(text, kind);
      texts.add(text);
      await model.dispose();
    }
    assert.equal(texts.size, 1);
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test('leaves an ArrayBuffer as it was', async () => {
    const bytes = await readFile(modelPath);
    const copy = Uint8Array.from(bytes);
    await (await load(bytes, { threads: 1 })).dispose();
    assert.deepEqual(new Uint8Array(bytes), copy);
  });

  test('reports progress that grows to the size of the file, at most 20 times a second', async () => {
    const seen = [];
    const begun = performance.now();
    const model = await load(modelPath, { threads: 1, onProgress: (p) => seen.push(p) });
    const seconds = (performance.now() - begun) / 1000;
    await model.dispose();
    assert.ok(
      seen.length >= 1 && seen.length <= seconds * 20 + 2,
      `${seen.length} in ${seconds} s`,
    );
    for (let i = 1; i < seen.length; i++) assert.ok(seen[i].loaded >= seen[i - 1].loaded);
    assert.equal(seen.at(-1).loaded, seen.at(-1).total);
    assert.ok(seen.every(({ phase }) => phase === 'load'));
  });

  test('passes on what a listener throws', async () => {
    const fail = () => {
      throw new RangeError('mine');
    };
    await assert.rejects(load(modelPath, { onProgress: fail }), { message: 'mine' });
    const model = await load(modelPath, { threads: 1 });
    const stream = model.stream(PROMPT, { maxTokens: 1, onProgress: fail });
    await assert.rejects(stream.next(), { message: 'mine' });
    assert.ok((await collect(model.generate(PROMPT, { maxTokens: 3, temperature: 0 }))).length > 0);
    await model.dispose();
  });

  test('says how much memory a context lacks', async () => {
    const contextLength = 2 ** 20;
    await assert.rejects(load(modelPath, { threads: 1, contextLength }), (error) => {
      assert.ok(error instanceof OutOfMemoryError, String(error));
      assert.match(error.message, /1048576/);
      return true;
    });
  });

  test('refuses options that are out of range', async () => {
    for (const options of [
      { threads: 0 },
      { threads: 65 },
      { contextLength: 0 },
      { isa: 'avx2' },
      { kv: 'q8' },
    ])
      await assert.rejects(load(modelPath, options), ArgumentError);
    for (const source of [undefined, null, 5, {}, []])
      await assert.rejects(load(source), ArgumentError);
  });
});

describe('inspect', () => {
  test("reads a file's header without its tensors", async () => {
    let read = 0;
    class Watched extends Blob {
      slice(start, end) {
        read += end - start;
        return super.slice(start, end);
      }
    }
    const file = new Watched([await readFile(modelPath)]);
    const info = await inspect(file, { contextLength: 100 });
    assert.ok(read < file.size / 2, `${read} bytes read`);
    assert.equal(info.architecture, 'llama');
    assert.equal(info.metadata['general.architecture'], 'llama');
    assert.equal(info.metadata['tokenizer.ggml.add_bos_token'], true);
    assert.equal(info.metadata['tokenizer.ggml.tokens'].count, info.vocabulary);
    assert.ok(info.tensors.some(({ type, name }) => type === 'Q4_0' && name.startsWith('blk.')));
    assert.ok(info.tensors.every(({ dims, bytes }) => dims.length > 0 && bytes > 0));
    assert.ok(info.sessionBytes > 0);
  });
});

test('a model that is idle does not keep the process alive', async () => {
  const script = `
    import { defaultModel, load } from './web/index.js';
    const model = await load(defaultModel, { threads: 2 });
    await model.tokenize('x');
  `;
  const options = { cwd: root, timeout: 20_000 };
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], options);
});

describe('dispose', () => {
  test('rejects what is pending and what comes later', async () => {
    const model = await load(modelPath);
    const pending = collect(model.generate(PROMPT, { maxTokens: 500, ignoreEos: true }));
    const waiting = model.logits([1, 2, 3]);
    const refused = [assert.rejects(pending, StateError), assert.rejects(waiting, StateError)];
    await model.dispose();
    await Promise.all(refused);
    await assert.rejects(model.tokenize('x'), StateError);
    await model.dispose();
  });

  test('happens at the end of an `await using`', async () => {
    const model = await load(modelPath, { threads: 1 });
    await model[Symbol.asyncDispose]();
    await assert.rejects(model.tokenize('x'), StateError);
  });
});
