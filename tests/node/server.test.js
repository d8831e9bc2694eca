// halfbyte serve: OpenAI's interface over HTTP, asked by OpenAI's client and by those who mean harm.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { AbortError, EngineError, load } from '../../web/index.js';
import { serve } from '../../web/serve.js';
import { Gate } from '../../web/serve/gate.js';
import { PROMPT, cli, collect, modelPath } from './support.js';
import { modelWith } from './template-model.js';

const greedy = { model: 'any', prompt: PROMPT, temperature: 0, max_tokens: 12 };
const json = { 'Content-Type': 'application/json' };
const hello = { model: 'any', messages: [{ role: 'user', content: 'hello' }] };
const USAGE = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
const KEY = 'a-key-of-sixteen-or-more';

/** OpenAI's client at a server. */
const clientOf = ({ url }, apiKey = 'none') =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

/** A request as it is, and what comes back. */
function ask({ url }, path, { method = 'POST', headers = json, body } = {}) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ host: hostname, port, path, method, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode: status, headers } = response;
        resolve({ status, headers, text, error: text.startsWith('{') && JSON.parse(text).error });
      });
      response.on('error', reject);
    })
      .on('error', reject)
      .end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
}

/** Bytes over a socket until it closes. */
async function raw({ url }, text) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(text);
  let answer = '';
  socket.on('data', (data) => (answer += data));
  socket.on('error', () => {});
  await once(socket, 'close');
  return answer;
}

/** A promise with the function that keeps it. */
function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

/** Stands for a model that says one word and goes on when it is told to. */
class StandIn {
  info = { name: 'stand/in', width: 3, tokenizer: { eos: 2 } };
  started = deferred();
  ended = deferred();
  go = deferred();
  text = 'word';
  disposed = false;

  async *chat(messages, { signal }) {
    this.started.resolve();
    try {
      yield { text: this.text, token: 5 };
      if (!signal.aborted) await Promise.race([this.go.promise, once(signal, 'abort')]);
      const finishReason = signal.aborted ? 'abort' : 'stop';
      yield { text: '', finishReason, usage: USAGE };
    } finally {
      this.ended.resolve();
    }
  }

  async embed(texts) {
    return texts.map((text) => Float32Array.of(text.length, 0.5, -1));
  }

  async tokenize(text) {
    return [...text];
  }

  async dispose() {
    this.disposed = true;
  }
}

describe("OpenAI's client", () => {
  let model;
  let server;
  let client;
  before(async () => {
    server = await serve(async () => (model = await load(modelPath)), { port: 0 });
    client = clientOf(server);
  });
  after(() => server.close());

  test('lists the model', async () => {
    const list = [];
    for await (const each of client.models.list()) list.push(each);
    assert.deepEqual(list.map(({ id, object }) => [id, object]), [[model.info.name, 'model']]);
    assert.equal((await client.models.retrieve(model.info.name)).id, model.info.name);
    await assert.rejects(client.models.retrieve('other'), OpenAI.NotFoundError);
  });

  test('gets the text of model.generate, whole and in chunks', async () => {
    const text = await collect(model.generate(PROMPT, { temperature: 0, maxTokens: 12 }));
    const whole = await client.completions.create(greedy);
    assert.equal(whole.choices[0].text, text);
    assert.equal(whole.usage.completion_tokens, 12);
    let streamed = '';
    let usage;
    const request = { ...greedy, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.completions.create(request)) {
      streamed += chunk.choices[0]?.text ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(streamed, text);
    assert.equal(usage.total_tokens, whole.usage.total_tokens);
  });

  test('gets the typed errors of its own', async () => {
    await assert.rejects(client.completions.create({ ...greedy, top_p: 7 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'top_p');
      assert.match(error.message, /from 0 to 1, not 7/);
      return true;
    });
    const prompt = Array(model.info.contextLength + 1).fill(5);
    for (const stream of [false, true])
      await assert.rejects(client.completions.create({ ...greedy, prompt, stream }), {
        status: 400,
        code: 'context_length_exceeded',
      });
  });

  test('is answered in parallel, each as if it were alone', async () => {
    const texts = [PROMPT, 'The king', 'A wolf', 'In the wood', 'Far away', 'One day'];
    const alone = [];
    for (const prompt of texts)
      alone.push((await client.completions.create({ ...greedy, prompt })).choices[0].text);
    const together = await Promise.all(
      texts.map((prompt) => client.completions.create({ ...greedy, prompt })),
    );
    assert.deepEqual(together.map(({ choices }) => choices[0].text), alone);
  });

  test('learns that a model without a template does not chat', async () => {
    await assert.rejects(client.chat.completions.create(hello), {
      status: 400,
      code: 'no_chat_template',
    });
  });

  test('gets the vectors of model.embed', async () => {
    const { data } = await client.embeddings.create({ model: 'any', input: 'a cat' });
    const [vector] = await model.embed(['a cat']);
    assert.deepEqual(Float32Array.from(data[0].embedding), vector);
  });

  test('ends the generation when it aborts', async () => {
    const stream = await client.completions.create({ ...greedy, max_tokens: 450, stream: true });
    for await (const chunk of stream) if (chunk) break;
    assert.equal((await client.completions.create(greedy)).usage.completion_tokens, 12);
  });
});

test("OpenAI's client chats by a model's own template", async () => {
  const template = '{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}';
  let model;
  const open = async () => (model = await load(modelWith({ 'tokenizer.chat_template': template })));
  const server = await serve(open, { port: 0 });
  const request = { ...hello, temperature: 0, max_tokens: 8 };
  try {
    const text = await collect(model.chat(hello.messages, { temperature: 0, maxTokens: 8 }));
    const { choices } = await clientOf(server).chat.completions.create(request);
    assert.equal(choices[0].message.content, text);
    assert.equal(await clientOf(server).chat.completions.stream(request).finalContent(), text);
  } finally {
    await server.close();
  }
});

describe("OpenAI's client with a model that chats", () => {
  let model;
  let server;
  let client;
  before(async () => {
    server = await serve(async () => (model = new StandIn()), { port: 0 });
    model.go.resolve();
    client = clientOf(server);
  });
  after(async () => {
    await server.close();
    assert.ok(model.disposed);
  });

  test('chats, whole and in chunks', async () => {
    const { choices } = await client.chat.completions.create(hello);
    assert.deepEqual(choices[0].message, { role: 'assistant', content: 'word', refusal: null });
    assert.equal(choices[0].finish_reason, 'stop');
    const stream = client.chat.completions.stream(hello);
    assert.equal(await stream.finalContent(), 'word');
    assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, 'stop');
  });

  test('runs the tools that the model calls', async () => {
    const conversations = [];
    model.chat = async function* (messages) {
      conversations.push(messages);
      const answer = messages.find(({ role }) => role === 'tool');
      const call = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>';
      yield { text: answer ? `It is ${answer.content}.` : call, token: 5 };
      yield { text: '', finishReason: 'stop', usage: USAGE };
    };
    const add = {
      name: 'add',
      parameters: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
      parse: JSON.parse,
      function: ({ a, b }) => String(a + b),
    };
    const tools = [{ type: 'function', function: add }];
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({ ...hello, tools, stream });
      assert.equal(await runner.finalContent(), 'It is 5.');
    }
    assert.equal(conversations.length, 4);
    delete model.chat;
  });

  test('gets embeddings, which it asks for in base64', async () => {
    const { data, usage } = await client.embeddings.create({ model: 'any', input: ['ab', 'c'] });
    assert.deepEqual(data.map(({ embedding }) => [...embedding]), [[2, 0.5, -1], [1, 0.5, -1]]);
    assert.equal(usage.prompt_tokens, 3);
  });

  test('finds a model whose name has a slash', async () => {
    assert.equal((await client.models.retrieve('stand/in')).id, 'stand/in');
  });
});

describe('the server refuses', () => {
  let server;
  before(async () => {
    server = await serve(async () => new StandIn(), {
      port: 0,
      limits: { bodyBytes: 1000, n: 2, maxTokens: 10, stop: 2, biases: 2, inputs: 2 },
    });
  });
  after(() => server.close());

  const chat = '/v1/chat/completions';

  test('names that lead here but are not its own', async () => {
    const { port } = new URL(server.url);
    for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '127.1.2.3:1', `[::1]:${port}`]) {
      const { status } = await ask(server, '/v1/models', { method: 'GET', headers: { host } });
      assert.equal(status, 200, host);
    }
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'evil@localhost',
      'localhost:80:80',
      '192.168.1.5',
      '0.0.0.0',
      '2130706433',
    ]) {
      const { status, error } = await ask(server, '/v1/models', { method: 'GET', headers: { host } });
      assert.equal(status, 403, host);
      assert.equal(error.code, 'host_not_allowed');
    }
    for (const text of ['HTTP/1.0\r\n\r\n', 'HTTP/1.1\r\nHost:\r\n\r\n'])
      assert.match(await raw(server, `GET /v1/models ${text}`), /^HTTP\/1.1 403/);
  });

  test('pages, with or without a question before', async () => {
    for (const origin of ['https://evil.example', 'null', server.url, 'http://localhost:3000'])
      for (const method of ['OPTIONS', 'GET', 'POST']) {
        const headers = { ...json, origin, 'Access-Control-Request-Method': 'POST' };
        const { status, headers: got } = await ask(server, chat, { method, headers, body: hello });
        assert.equal(status, 403);
        assert.ok(!Object.keys(got).some((name) => name.startsWith('access-control')));
      }
  });

  test('bodies that are not plain JSON', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      '',
      'application/jsonx',
      'text/plain; application/json',
      'application/json; charset=utf-16',
    ]) {
      const { status } = await ask(server, chat, { headers: { 'Content-Type': type }, body: hello });
      assert.equal(status, 415, type);
    }
    const headers = { ...json, 'Content-Encoding': 'gzip' };
    assert.equal((await ask(server, chat, { headers, body: hello })).status, 415);
    for (const body of ['', '{', '{"messages":', 'null', '3', '[]', '"x"', Buffer.from([0x22, 0xff, 0x22])]) {
      const { status, error } = await ask(server, chat, { body });
      assert.equal(status, 400, String(body));
      assert.equal(error.type, 'invalid_request_error');
    }
  });

  test('bodies that are too large, whether they say so or not', async () => {
    const head = `POST ${chat} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    const said = await raw(server, `${head}Content-Length: 1001\r\n\r\n`);
    assert.match(said, /^HTTP\/1.1 413[^]*larger than 1000 bytes/);
    const chunk = `1f4\r\n${'x'.repeat(500)}\r\n`;
    const unsaid = await raw(server, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`);
    assert.match(unsaid, /^HTTP\/1.1 413/);
  });

  test('more than its limits', async () => {
    for (const [path, param, body] of [
      [chat, 'n', { ...hello, n: 3 }],
      [chat, 'max_tokens', { ...hello, max_tokens: 11 }],
      [chat, 'max_completion_tokens', { ...hello, max_completion_tokens: 11 }],
      [chat, 'stop', { ...hello, stop: ['a', 'b', 'c'] }],
      [chat, 'logit_bias', { ...hello, logit_bias: { 1: 1, 2: 1, 3: 1 } }],
      ['/v1/completions', 'prompt', { prompt: ['a', 'b'], n: 2 }],
      ['/v1/embeddings', 'input', { input: ['a', 'b', 'c'] }],
    ]) {
      const { status, error } = await ask(server, path, { body });
      assert.equal(status, 400);
      assert.equal(error.param, param);
    }
  });

  test('paths and methods that it does not have', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v1/models/',
      '/v1/files',
      '/v1/chat/completions/',
      '/v1/../v1/models',
      '/__proto__',
      '/toString',
      '//v1/models',
      '/api/pull',
    ]) {
      const { status, error } = await ask(server, path, { method: 'GET' });
      assert.equal(status, 404, path);
      assert.equal(error.code, 'not_found');
    }
    const { status, headers } = await ask(server, chat, { method: 'GET' });
    assert.equal(status, 405);
    assert.equal(headers.allow, 'POST');
    assert.equal((await ask(server, '/v1/models', { body: {} })).status, 405);
  });
});

describe('a key', () => {
  test('is needed on any address but those of this machine alone', async () => {
    const never = () => assert.fail('it must not get so far');
    for (const host of ['0.0.0.0', '::'])
      for (const apiKey of [undefined, 'short'])
        await assert.rejects(serve(never, { host, apiKey, port: 0 }), { code: 'ARGUMENT' });
    const { code, stderr } = await cli('serve', '--host', '0.0.0.0', '--port', '0');
    assert.equal(code, 2);
    assert.match(stderr, /needs an API key of 16 characters/);
  });

  test('opens the server to those who have it', async () => {
    const model = new StandIn();
    model.go.resolve();
    const server = await serve(async () => model, { host: '0.0.0.0', port: 0, apiKey: KEY });
    const at = { url: server.url.replace('0.0.0.0', '127.0.0.1') };
    try {
      const { choices } = await clientOf(at, KEY).chat.completions.create(hello);
      assert.equal(choices[0].message.content, 'word');
      const wrong = clientOf(at, `${KEY}x`);
      await assert.rejects(wrong.chat.completions.create(hello), OpenAI.AuthenticationError);
      for (const authorization of [undefined, '', 'Bearer', `Basic ${KEY}`, KEY, `Bearer ${KEY} x`]) {
        const headers = authorization === undefined ? {} : { authorization };
        const { status, headers: got } = await ask(at, '/v1/models', { method: 'GET', headers });
        assert.equal(status, 401);
        assert.equal(got['www-authenticate'], 'Bearer');
      }
      const bearer = { authorization: `Bearer ${KEY}` };
      for (const [host, expected] of [['192.168.1.5:80', 200], ['evil.example', 403]]) {
        const headers = { ...bearer, host };
        const { status } = await ask(at, '/v1/models', { method: 'GET', headers });
        assert.equal(status, expected);
      }
    } finally {
      await server.close();
    }
  });
});

describe('the server', () => {
  /** A server of a stand-in, for one test. */
  async function withServer(options, use) {
    const models = [];
    const open = async () => (models.push(new StandIn()), models.at(-1));
    const server = await serve(open, { port: 0, ...options });
    try {
      await use(server, models);
    } finally {
      await server.close();
    }
  }

  test('ends a generation when its client goes away, streaming or not', async () => {
    for (const stream of [true, false])
      await withServer({}, async (server, [model]) => {
        const { port } = new URL(server.url);
        const sent = request({ port, path: '/v1/chat/completions', method: 'POST', headers: json });
        sent.on('error', () => {});
        sent.end(JSON.stringify({ ...hello, stream }));
        await model.started.promise;
        sent.destroy();
        await model.ended.promise;
      });
  });

  test('ends what waits behind another answer on a connection that closes', async () => {
    await withServer({ limits: { streams: 1 } }, async (server, [model]) => {
      let ended = 0;
      const both = deferred();
      const { chat } = model;
      model.chat = async function* (messages, options) {
        try {
          yield* chat.call(model, messages, options);
        } finally {
          if (++ended === 2) both.resolve();
        }
      };
      model.text = 'x'.repeat(1 << 20); // more than is sent at once, so that it waits for that
      const { port } = new URL(server.url);
      const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
      const body = JSON.stringify({ ...hello, stream: true });
      const sent =
        'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      socket.write(sent + sent);
      await model.started.promise;
      socket.destroy();
      model.go.resolve();
      const { status } = await ask(server, '/v1/chat/completions', { body: hello });
      assert.equal(status, 200);
      await both.promise;
    });
  });

  test('never fails over what a request says', async () => {
    await withServer({ limits: { queue: 0 } }, async (server, [model]) => {
      model.go.resolve();
      model.stream = model.chat;
      const values = [null, true, 0, -1, 1.5, 1e99, '', 'x', [], [[]], [null], {}, { a: 1 }, [{}]];
      const names =
        'prompt messages input n stream stream_options temperature top_p top_k min_p seed stop ' +
        'max_tokens max_completion_tokens logit_bias logprobs top_logprobs echo suffix best_of ' +
        'frequency_penalty presence_penalty repetition_penalty response_format tools tool_choice ' +
        'functions dimensions encoding_format pooling chat_template_kwargs ignore_eos model user ' +
        'context_policy __proto__ constructor toString';
      const bases = {
        '/v1/completions': { prompt: 'x' },
        '/v1/chat/completions': hello,
        '/v1/embeddings': { input: 'x' },
      };
      model.info.tokenizer = undefined;
      for (const [path, base] of Object.entries(bases))
        for (const name of names.split(' '))
          for (const value of values) {
            // Written out, because an object's __proto__ is no field.
            const body = `${JSON.stringify(base).slice(0, -1)},"${name}":${JSON.stringify(value)}}`;
            const { status } = await ask(server, path, { body });
            assert.ok(status === 200 || status === 400, `${path} ${body}: ${status}`);
          }
    });
  });

  test('answers so many at once, lets so many wait, and refuses the others', async () => {
    await withServer({ limits: { streams: 1, queue: 1 } }, async (server, [model]) => {
      const first = ask(server, '/v1/chat/completions', { body: hello });
      await model.started.promise;
      // Of two more, one waits and the other is refused, whichever comes first.
      const others = [1, 2].map(() => ask(server, '/v1/chat/completions', { body: hello }));
      const refused = await Promise.race(others);
      assert.equal(refused.status, 429);
      assert.equal(refused.error.code, 'queue_full');
      assert.ok(Number(refused.headers['retry-after']) > 0);
      model.go.resolve();
      assert.equal((await first).status, 200);
      assert.deepEqual((await Promise.all(others)).map(({ status }) => status).sort(), [200, 429]);
    });
  });

  test('gives up the place in the queue of a client that goes away', async () => {
    const gate = new Gate(1, 1);
    const { signal } = new AbortController();
    const leave = await gate.enter(signal);
    const client = new AbortController();
    const waits = gate.enter(client.signal);
    await assert.rejects(gate.enter(signal), { status: 429 });
    client.abort();
    await assert.rejects(waits, AbortError);
    await assert.rejects(gate.enter(client.signal), AbortError);
    const next = gate.enter(signal);
    leave();
    leave();
    const leaveNext = await next;
    const last = gate.enter(signal);
    await assert.rejects(gate.enter(signal), { status: 429 });
    leaveNext();
    (await last)();
  });

  test('does not wait for a request that comes byte by byte', async () => {
    const times = { headersMs: 100, requestMs: 200, checkMs: 20 };
    await withServer({ times }, async (server) => {
      const head = 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n';
      assert.match(await raw(server, head), /^HTTP\/1.1 408/);
      const body = `Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mess`;
      assert.match(await raw(server, head + body), /^HTTP\/1.1 408/);
    });
  });

  test('leaves a client that does not read', async () => {
    await withServer({ times: { stallMs: 50 } }, async (server, [model]) => {
      model.text = 'x'.repeat(32 << 20);
      const { port } = new URL(server.url);
      const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
      const body = JSON.stringify({ ...hello, stream: true });
      socket.write(
        'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await model.ended.promise;
      socket.destroy();
    });
  });

  test('shows a client that waits that it lives', async () => {
    await withServer({ times: { beatMs: 5 } }, async (server, [model]) => {
      const { port } = new URL(server.url);
      const sent = request({ port, path: '/v1/chat/completions', method: 'POST', headers: json });
      sent.end(JSON.stringify({ ...hello, stream: true }));
      const [response] = await once(sent, 'response');
      let text = '';
      for await (const chunk of response) {
        text += chunk;
        if (text.includes(': still at it')) model.go.resolve();
      }
      assert.match(text, /data: \[DONE\]\n\n$/);
    });
  });

  test('tells a failure amid a stream, without words about the machine', async () => {
    const told = [];
    await withServer({ onError: (error) => told.push(error) }, async (server, [model]) => {
      model.chat = async function* () {
        yield { text: 'word', token: 5 };
        throw new Error('/home/secret');
      };
      const stream = await clientOf(server).chat.completions.create({ ...hello, stream: true });
      await assert.rejects(async () => {
        for await (const chunk of stream) assert.ok(chunk.choices);
      }, OpenAI.APIError);
      const { status, text, error } = await ask(server, '/v1/chat/completions', { body: hello });
      assert.equal(status, 500);
      assert.equal(error.type, 'server_error');
      assert.doesNotMatch(text, /secret/);
      assert.deepEqual(told.map(({ message }) => message), ['/home/secret', '/home/secret']);
    });
  });

  test('loads the model anew when its engine broke', async () => {
    await withServer({}, async (server, models) => {
      models[0].chat = async function* () {
        throw new EngineError('the engine broke down');
      };
      const client = clientOf(server);
      await assert.rejects(client.chat.completions.create(hello), { status: 500 });
      assert.ok(models[0].disposed);
      const pending = client.chat.completions.create(hello);
      while (models.length < 2) await new Promise(setImmediate);
      models[1].go.resolve();
      assert.equal((await pending).choices[0].message.content, 'word');
    });
  });

  test('says why it cannot start', async () => {
    await withServer({}, async ({ url }) => {
      const port = Number(new URL(url).port);
      const open = async () => new StandIn();
      await assert.rejects(serve(open, { port }), { code: 'IO', message: /cannot listen on port/ });
      await assert.rejects(serve(open, { port: 70000 }), { code: 'ARGUMENT' });
      await assert.rejects(serve(open, { port: 0, host: '' }), { code: 'ARGUMENT' });
      await assert.rejects(serve(open, { port: 0, limits: { n: 0 } }), { code: 'ARGUMENT' });
    });
  });

  test('runs from the command line until it is interrupted', async () => {
    const script = fileURLToPath(new URL('../../web/cli.js', import.meta.url));
    const child = spawn(process.execPath, [script, 'serve', '--port', '0', '-n', '30']);
    let said = '';
    while (!said.includes('\n')) said += (await once(child.stdout, 'data'))[0];
    const [, url] = /^serving .* at (http:\/\/127\.0\.0\.1:\d+)\/v1\n$/.exec(said);
    const { choices } = await clientOf({ url }).completions.create(greedy);
    assert.ok(choices[0].text.length > 5);
    const { error } = await ask({ url }, '/v1/completions', { body: { prompt: '', max_tokens: 31 } });
    assert.equal(error.param, 'max_tokens');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
});
