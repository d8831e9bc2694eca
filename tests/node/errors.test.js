import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, openAsBlob, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as halfbyte from '../../web/index.js';
import { openSource } from '../../web/sources.js';
import { modelPath } from './support.js';

const { load } = halfbyte;

/** Loads hostile bytes; gives the error. */
async function failure(bytes) {
  try {
    const model = await load(bytes, { threads: 1 });
    await model.dispose();
  } catch (error) {
    assert.ok(error instanceof halfbyte.HalfbyteError, `${error?.stack}`);
    assert.ok(error.message.length > 10 && !error.message.includes('\n'));
    return error;
  }
  return undefined;
}

describe('a file that is no sound model', () => {
  const good = readFileSync(modelPath);

  const changed = (offset, ...values) => {
    const bytes = Uint8Array.from(good.subarray(0, 4096));
    bytes.set(values, offset);
    return bytes;
  };

  test('is refused with a class that says why', async () => {
    const cases = {
      'an empty file': [new Uint8Array(0), ['TRUNCATED', 'FORMAT']],
      'some text': [new TextEncoder().encode('hello, this is no model at all'), ['FORMAT']],
      'a magic alone': [good.subarray(0, 4), ['TRUNCATED', 'FORMAT']],
      'half a header': [good.subarray(0, 1000), ['TRUNCATED', 'FORMAT']],
      'half the tensors': [good.subarray(0, good.length >> 1), ['TRUNCATED', 'FORMAT']],
      'a future version': [changed(4, 99), ['FORMAT', 'UNSUPPORTED']],
      'too many tensors': [
        changed(8, 255, 255, 255, 255, 255, 255, 255, 127),
        ['FORMAT', 'TRUNCATED'],
      ],
      'too many keys': [
        changed(16, 255, 255, 255, 255, 255, 255, 255, 127),
        ['FORMAT', 'TRUNCATED'],
      ],
    };
    for (const [what, [bytes, codes]] of Object.entries(cases)) {
      const error = await failure(bytes);
      assert.ok(codes.includes(error?.code), `${what}: ${error}`);
    }
  });

  test('is refused wherever it was damaged, or runs', async () => {
    const inHeader = good.subarray(0, 1 << 16);
    for (let i = 0; i < 12; i++) {
      const bytes = Uint8Array.from(inHeader);
      for (let n = 0; n < 8; n++) bytes[24 + ((i * 7919 + n * 104729) % 4000)] ^= 1 << n;
      const error = await failure(bytes);
      assert.notEqual(error?.code, 'ENGINE', `${i}: ${error}`);
      assert.ok(error, 'the tensors are missing');
    }
  });
});

describe('a source that cannot be read', () => {
  test('is an IoError for a path', async () => {
    await assert.rejects(load('/does/not/exist.gguf'), (error) => {
      assert.ok(error instanceof halfbyte.IoError);
      assert.match(error.message, /exist\.gguf/);
      return true;
    });
  });

  /** Gives out the start of a model; what lies behind cannot be read. */
  class LostFile extends File {
    static KEPT = 1 << 20;

    slice(from, to) {
      const part = super.slice(from, to);
      if (to > LostFile.KEPT)
        part.arrayBuffer = async () => {
          throw new DOMException('the file is gone', 'NotReadableError');
        };
      return part;
    }

    stream() {
      return new ReadableStream({
        start: async (controller) => {
          controller.enqueue(new Uint8Array(await super.slice(0, LostFile.KEPT).arrayBuffer()));
        },
        pull: () => {
          throw new DOMException('the file is gone', 'NotReadableError');
        },
      });
    }
  }
  const lost = new LostFile([readFileSync(modelPath)], 'lost.gguf');
  const tellsOfTheLost = (error) => {
    assert.ok(error instanceof halfbyte.IoError, `${error?.stack}`);
    assert.match(error.message, /^lost\.gguf could not be read at byte 1048576: .*the file is gone/);
    assert.equal(error.offset, LostFile.KEPT);
    return true;
  };

  test('is an IoError for a File that is lost while it is loaded', async () => {
    await assert.rejects(load(lost, { threads: 1 }), tellsOfTheLost);
  });

  test('is an IoError for a File that is lost while a browser streams it', async () => {
    const reader = await openSource({ kind: 'blob', blob: lost, name: lost.name });
    const buffer = new Uint8Array(1 << 20);
    const readAll = async () => {
      while ((await reader.read(() => buffer)) > 0);
    };
    await assert.rejects(readAll(), tellsOfTheLost);
    await reader.close();
  });

  test('is an IoError for the Blob of a file that has changed since', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'halfbyte-test-'));
    try {
      const path = join(folder, 'model.gguf');
      copyFileSync(modelPath, path);
      const blob = await openAsBlob(path);
      writeFileSync(path, 'something else');
      await assert.rejects(load(blob, { threads: 1 }), {
        code: 'IO',
        message: /^the Blob could not be read at byte 0: /,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is an IoError for a buffer that was given away', async () => {
    const bytes = new Uint8Array(1 << 21).fill(1);
    const loading = load(bytes, { threads: 1 });
    structuredClone(bytes, { transfer: [bytes.buffer] });
    await assert.rejects(loading, { code: 'IO', message: /^the buffer could not be read at byte 0: / });
  });

  test('is a NetworkError for a URL', async () => {
    let broken = false;
    const server = createServer((request, response) => {
      if (request.url === '/broken' && !broken) {
        broken = true; // the next attempt finds nothing
        response.writeHead(200, { 'Content-Length': 100000 });
        response.write('GGUF', () => response.destroy());
      } else {
        response.writeHead(404).end();
      }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${server.address().port}`;
    const get = (path) => load(`${url}${path}`, { cache: false });
    await assert.rejects(get('/missing'), { code: 'NETWORK', message: /404/, status: 404 });
    await assert.rejects(get('/broken'), { code: 'NETWORK' });
    server.close();
    server.closeAllConnections();
    await assert.rejects(get('/gone'), { code: 'NETWORK' });
  });

  test('is an ArgumentError for what is no URL', async () => {
    await assert.rejects(load('http://'), { code: 'ARGUMENT' });
  });
});

test('an engine that breaks down rejects its calls, and says how to go on', async () => {
  const model = await load(modelPath);
  // The worker's own door is closed to callers; a message that it cannot read breaks it.
  const { Worker } = await import('node:worker_threads');
  const { terminate } = Worker.prototype;
  const workers = new Set();
  const { postMessage } = Worker.prototype;
  Worker.prototype.postMessage = function (...args) {
    workers.add(this);
    return postMessage.apply(this, args);
  };
  const pending = model.logits(Array(300).fill(1), { split: 'single' });
  Worker.prototype.postMessage = postMessage;
  const refused = assert.rejects(pending, { code: 'ENGINE', message: /load the model anew/ });
  for (const worker of workers) await terminate.call(worker);
  await refused;
  await assert.rejects(model.tokenize('x'), { code: 'ENGINE' });
  await model.dispose();
});

test('error classes have the codes of the C statuses and names that survive a minifier', () => {
  const classes = Object.values(halfbyte).filter(
    (value) => typeof value === 'function' && value.prototype instanceof halfbyte.HalfbyteError,
  );
  assert.ok(classes.length >= 14);
  assert.equal(new Set(classes.map(({ code }) => code)).size, classes.length);
  for (const Class of classes) {
    const error = new Class('a message', { offset: 3 });
    assert.equal(error.name, Class.name);
    assert.equal(error.code, Class.code);
    assert.equal(error.offset, 3);
    assert.ok(error instanceof Error);
  }
});
