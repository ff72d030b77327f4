// The connector {{name}}.
import { succeeded } from './headgate.js';

/** Where it may send requests, and what a connection is made of. The server puts the token on each request. */
export const manifest = {
  name: '{{name}}',
  title: '{{name}}',
  description: 'Items of {{name}}.',
  version: '0.1.0',
  base_urls: ['${config.api_url}'],
  config: [{ name: 'api_url', title: 'API address', default: 'https://api.example.com' }],
  auth: [
    {
      id: 'token',
      title: 'API token',
      kind: 'api_key',
      fields: [{ name: 'token', title: 'Token' }],
      placements: [{ in: 'bearer', value: '${secret.token}' }],
    },
  ],
  verification: { http_method: 'GET', path: '/me' },
};

const item = {
  type: 'object',
  properties: { id: { type: 'string' }, name: { type: 'string' } },
  required: ['id', 'name'],
};

/** What flows can call. Say `idempotent` of what may be performed twice without harm. */
export const methods = {
  get_item: {
    description: 'Gets one item.',
    idempotent: true,
    input: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] },
    output: item,
    sample: { id: '7', name: 'A lamp' },
    async run({ id }, headgate) {
      const answer = await fetch(`${headgate.config('api_url')}/items/${encodeURIComponent(id)}`);
      return (await succeeded(answer)).json();
    },
  },
};

/** What can be polled for new records. Without a cursor it says where to begin. */
export const triggers = {
  new_item: {
    description: 'Tells each new item.',
    input: { type: 'object' },
    record: item,
    sample: { id: '7', name: 'A lamp' },
    async poll(_input, cursor, headgate) {
      const url = `${headgate.config('api_url')}/items`;
      if (cursor === undefined) {
        const [newest] = await (await succeeded(await fetch(`${url}?newest=1`))).json();
        return { records: [], cursor: { after: newest?.id ?? '' } };
      }
      const found = await (await succeeded(await fetch(`${url}?after=${encodeURIComponent(cursor.after)}&limit=100`))).json();
      return {
        records: found.map((item) => ({ id: item.id, data: item })),
        cursor: { after: found.at(-1)?.id ?? cursor.after },
        more: found.length === 100,
      };
    },
  },
};
