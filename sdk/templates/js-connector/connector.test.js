import assert from 'node:assert/strict';
import { mock as fake, test } from 'node:test';

import { methods, triggers } from './connector.js';
import { mock } from './headgate.js';

const headgate = mock({ config: { api_url: 'https://api.example.com' } });

/** The app: an answer for each URL. */
function answers(all) {
  fake.method(globalThis, 'fetch', async (url) => {
    assert.ok(url in all, `unexpected request ${url}`);
    const [status, body] = all[url];
    return Response.json(body, { status });
  });
}

test('gets an item', async () => {
  answers({ 'https://api.example.com/items/a%2Fb': [200, { id: 'a/b', name: 'A lamp' }] });
  assert.deepEqual(await methods.get_item.run({ id: 'a/b' }, headgate), { id: 'a/b', name: 'A lamp' });
});

test("an app's error has a code", async () => {
  answers({ 'https://api.example.com/items/7': [404, { message: 'none' }] });
  await assert.rejects(methods.get_item.run({ id: '7' }, headgate), { code: 'http_404', retryable: false });
});

test('tells new items from where it began', async () => {
  answers({
    'https://api.example.com/items?newest=1': [200, [{ id: '7', name: 'A lamp' }]],
    'https://api.example.com/items?after=7&limit=100': [200, [{ id: '8', name: 'A chair' }]],
  });
  const begun = await triggers.new_item.poll({}, undefined, headgate);
  assert.deepEqual(begun, { records: [], cursor: { after: '7' } });
  const polled = await triggers.new_item.poll({}, begun.cursor, headgate);
  assert.deepEqual(polled.records, [{ id: '8', data: { id: '8', name: 'A chair' } }]);
  assert.deepEqual([polled.cursor, polled.more], [{ after: '8' }, false]);
});
