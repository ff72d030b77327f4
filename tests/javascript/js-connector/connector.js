// A connector in JavaScript, for the stories.
import { Failure, succeeded } from './headgate.js';

export const manifest = {
  name: 'js-shop',
  title: 'Shop',
  description: 'Items of a shop.',
  version: '0.1.0',
  base_urls: ['${config.api_url}'],
  config: [{ name: 'api_url', title: 'API address', required: true }],
  auth: [
    {
      id: 'token',
      title: 'API token',
      kind: 'api_key',
      fields: [{ name: 'token', title: 'Token' }],
      placements: [{ in: 'bearer', value: '${secret.token}' }],
    },
  ],
};

const item = {
  type: 'object',
  properties: { id: { type: 'string' }, name: { type: 'string' } },
  required: ['id', 'name'],
};

export const methods = {
  get_item: {
    description: 'Gets one item.',
    idempotent: true,
    input: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] },
    output: item,
    sample: { id: '7', name: 'A lamp' },
    async run({ id }, headgate) {
      if (!id) throw new Failure('invalid_input', 'Name the item.');
      const answer = await fetch(`${headgate.config('api_url')}/items/${encodeURIComponent(id)}`);
      return (await succeeded(answer)).json();
    },
  },
  add_item: {
    description: 'Adds an item.',
    input: item,
    output: item,
    async run(input, headgate) {
      const answer = await fetch(`${headgate.config('api_url')}/items`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(input),
      });
      return (await succeeded(answer)).json();
    },
  },
  go: {
    description: 'Sends a request anywhere, with headers of its own.',
    input: { type: 'object' },
    output: { type: 'object' },
    async run({ url, headers }) {
      const answer = await fetch(url, { headers });
      return { status: answer.status, body: await answer.text() };
    },
  },
};

export const triggers = {
  new_item: {
    description: 'Tells each new item.',
    input: { type: 'object' },
    record: item,
    sample: { id: '7', name: 'A lamp' },
    async poll(_input, cursor, headgate) {
      const after = cursor?.after ?? '';
      const answer = await fetch(`${headgate.config('api_url')}/items?after=${after}`);
      const found = await (await succeeded(answer)).json();
      return {
        records: cursor === undefined ? [] : found.map((item) => ({ id: item.id, data: item })),
        cursor: { after: found.at(-1)?.id ?? after },
        more: false,
      };
    },
  },
};
