// What a flow or a connector in JavaScript has from Headgate. It is not yours to change: `headgate new` wrote it.
//
// It imports nothing, so that tests run in Node. `component.js` joins it with the server's interfaces.

/** Why something failed: a stable code for programs, and a sentence for people. Never a secret. */
export class Failure extends Error {
  /** `options`: `retryable` when the same call may succeed later, `retryAfter` in seconds, and `details`, an object. */
  constructor(code, message, { retryable = false, retryAfter, details } = {}) {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.retryable = retryable || retryAfter !== undefined;
    this.details = retryAfter === undefined ? details : { ...details, retry_after_seconds: retryAfter };
  }
}

/** A complete answer, for flows that set a status and headers of their own. A body is text, bytes, a blob or JSON. */
export function respond(status, body, headers = {}) {
  return new Answer(status, body, headers);
}

class Answer {
  constructor(status, body, headers) {
    Object.assign(this, { status, body, headers });
  }
}

/** What made the trigger fire. */
export class Event {
  #body;

  constructor({ trigger = '', method = 'POST', path = '/', params = [], query = [], headers = [], body = '' } = {}) {
    const pairs = (list) => (Array.isArray(list) ? list : Object.entries(list));
    this.trigger = trigger;
    this.method = method;
    this.path = path;
    /** Parameters of the trigger's path template, and the query's: `event.params.get('id')`. */
    this.params = new URLSearchParams(pairs(params));
    this.query = new URLSearchParams(pairs(query));
    /** Headers, names in lower case: `event.headers.get('content-type')`. */
    this.headers = new Map(pairs(headers));
    this.#body = body;
  }

  /** The raw body. */
  bytes() {
    if (typeof this.#body === 'string') this.#body = new TextEncoder().encode(this.#body);
    if (typeof this.#body === 'function') this.#body = this.#body();
    return this.#body;
  }

  text() {
    return new TextDecoder().decode(this.bytes());
  }

  /** The body read as JSON. What is none is answered with 400, unless the flow catches it. */
  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw new Failure('invalid_event', `The event's body is not JSON: ${error.message}.`);
    }
  }
}

// What is asked of the server is asked in steps, so that no step needs much memory at once. In bytes.
const STEP = 1024 * 1024;

function read(blob) {
  const bytes = new Uint8Array(Number(blob.size()));
  for (let at = 0; at < bytes.length; ) {
    const part = blob.read(BigInt(at), STEP);
    if (part.length === 0) break;
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Runs a call of the server, whose errors are records. */
function asked(call) {
  try {
    return call();
  } catch (error) {
    throw failure(error.payload ?? error);
  }
}

function failure(error) {
  if (!error || typeof error.code !== 'string' || error instanceof Failure) return error;
  const details = typeof error.details === 'string' ? JSON.parse(error.details) : error.details;
  return new Failure(error.code, error.message, { retryable: error.retryable, details });
}

/** The error in the server's shape. Where it came by surprise, its place goes to the log. */
function refused(error, log) {
  const told = error instanceof Failure ? error : new Failure('failed', String(error?.message ?? error));
  if (told !== error && error?.stack) log.error(`${error}\n${error.stack}`);
  const details = told.details === undefined ? undefined : JSON.stringify(told.details);
  return { code: told.code, message: told.message, retryable: told.retryable, details };
}

function written(value, what) {
  const text = JSON.stringify(value ?? null);
  if (text === undefined) throw new Failure(what, 'It cannot be written as JSON.');
  return text;
}

/** What both have: the run, its log, and blobs for what is too large for JSON. */
function shared({ run, blobs }) {
  const level = (name) => (message) => run.log(name, String(message));
  return {
    /** Facts about the run: `id`, `attempt`, `environment`, `flow`, `caller`. */
    get run() {
      return run.current();
    },
    log: { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') },
    /** A blob, to be answered by a flow or named in JSON by `{ $blob: blob.id }`. */
    blob(contentType, bytes) {
      const blob = new blobs.Blob(contentType);
      for (let at = 0; at < bytes.length; at += STEP) asked(() => blob.write(bytes.subarray(at, at + STEP)));
      return { blob, contentType, get id() { return blob.id(); } };
    },
    /** The bytes of a blob found in JSON as `{ $blob: id }`. */
    readBlob(id) {
      return read(asked(() => blobs.open(id)));
    },
  };
}

/** The exports of a flow. */
export function flow(user, { connections, run, blobs }) {
  const headgate = Object.assign(shared({ run, blobs }), {
    /** The connection bound to a slot: `headgate.connection('crm').call('get_contact', { id: '51' })`. */
    connection(slot) {
      const opened = asked(() => connections.open(slot));
      return {
        opened,
        call: (method, input) => JSON.parse(asked(() => opened.call(method, written(input, 'invalid_input')))),
      };
    },
    /** Several calls at once, each `[connection, method, input]`: what they answer, or a Failure, in the same order. */
    callAll(calls) {
      const requests = calls.map(([{ opened }, method, input]) => {
        return { connection: opened, method, input: written(input, 'invalid_input') };
      });
      return connections.callAll(requests).map(({ tag, val }) => (tag === 'ok' ? JSON.parse(val) : failure(val)));
    },
  });
  return {
    describe: () => JSON.stringify(user.description ?? {}),
    async handle(raw) {
      try {
        const body = raw.body.tag === 'inline' ? raw.body.val : () => read(raw.body.val);
        return answered(await user.handle(new Event({ ...raw, body }), headgate));
      } catch (error) {
        if (error?.code === 'invalid_event') return invalid(error);
        throw refused(error, headgate.log);
      }
    },
  };
}

function answered(answer) {
  const { status, body, headers } = answer instanceof Answer ? answer : respond(200, answer);
  const sent = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
  const content = (type, body) => {
    if (type && !sent.some(([name]) => name === 'content-type')) sent.push(['content-type', type]);
    return { status, headers: sent, body };
  };
  const inline = (text) => ({ tag: 'inline', val: new TextEncoder().encode(text) });
  if (body?.blob) return content(body.contentType, { tag: 'blob', val: body.blob });
  if (body instanceof Uint8Array) return content(undefined, { tag: 'inline', val: body });
  if (typeof body === 'string' && answer instanceof Answer) return content('text/plain; charset=utf-8', inline(body));
  if (body === undefined && answer instanceof Answer) return content(undefined, inline(''));
  return content('application/json', inline(written(body, 'invalid_answer')));
}

/** A body that is no JSON is its sender's fault and not the flow's. */
function invalid({ code, message }) {
  const problem = { type: 'about:blank', title: 'Bad Request', status: 400, detail: message, error: message, code };
  return answered(respond(400, problem, { 'content-type': 'application/problem+json' }));
}

/** The exports of a connector. Requests go out by the usual `fetch`. */
export function connector(user, { connection, run, blobs }) {
  const headgate = shared({ run, blobs });
  /** A non-secret setting of the connection. */
  headgate.config = (name) => connection.config(name) ?? undefined;
  const { manifest, methods = {}, triggers = {} } = user;
  const entries = (all) => Object.entries(all).map(([name, { run, poll, ...entry }]) => ({ name, ...entry }));
  const named = (all, name, kind) => {
    if (Object.hasOwn(all, name)) return all[name];
    const there = Object.keys(all);
    throw new Failure(`${kind}_not_found`, `There is no ${kind} ${name}; there are ${there.join(', ') || 'none'}.`);
  };
  const answer = async (work, what) => {
    try {
      return written(await work(), what);
    } catch (error) {
      throw refused(error, headgate.log);
    }
  };
  return {
    describe: () => JSON.stringify({ ...manifest, methods: entries(methods), triggers: entries(triggers) }),
    invoke: (name, input) =>
      answer(() => named(methods, name, 'method').run(JSON.parse(input), headgate), 'invalid_output'),
    poll: (name, input, cursor) =>
      answer(
        () => named(triggers, name, 'trigger').poll(
          JSON.parse(input),
          cursor === undefined ? undefined : JSON.parse(cursor),
          headgate,
        ),
        'invalid_output',
      ),
  };
}

/** The error for an app's answer that is no success, retryable where the status says so. Resolves to the answer. */
export async function succeeded(answer) {
  if (answer.ok) return answer;
  const seconds = Number.parseInt(answer.headers.get('retry-after') ?? '', 10);
  const body = (await answer.text()).slice(0, 500);
  throw new Failure(`http_${answer.status}`, `The app answered with status ${answer.status}.`, {
    retryable: [408, 425, 429].includes(answer.status) || answer.status >= 500,
    retryAfter: answer.status === 429 && Number.isInteger(seconds) ? seconds : undefined,
    details: { status: answer.status, body },
  });
}

/**
 * A mock of the server for tests in Node. `slots` are the flow's connections: `{ crm: { get_contact: (input) => .. } }`;
 * `config` is what a connector's connection is set to. `lines` is the log so far.
 */
export function mock({ slots = {}, config = {} } = {}) {
  const lines = [];
  const level = (name) => (message) => lines.push([name, String(message)]);
  return {
    lines,
    run: { id: '01890000-0000-7000-8000-000000000001', attempt: 1, environment: 'test', flow: 'under-test', caller: 'Key: test' },
    log: { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') },
    config: (name) => config[name],
    connection(slot) {
      if (!slots[slot]) throw new Failure('slot_unbound', `The slot ${slot} is not bound.`);
      return {
        call(method, input) {
          if (!slots[slot][method]) throw new Failure('method_not_found', `There is no method ${method}.`);
          return slots[slot][method](input);
        },
      };
    },
    callAll(calls) {
      return calls.map(([connection, method, input]) => {
        try {
          return connection.call(method, input);
        } catch (error) {
          return error;
        }
      });
    },
    blob: (contentType, bytes) => ({ blob: bytes, contentType, id: 'mock' }),
  };
}
