import assert from 'node:assert/strict';
import { test } from 'node:test';

import { handle } from './flow.js';
import { Event, mock } from './headgate.js';

test('greets', async () => {
  const headgate = mock();
  const answer = await handle(new Event({ body: '{"name": "Ada"}' }), headgate);
  assert.deepEqual(answer, { greeting: 'Hello, Ada!' });
  assert.deepEqual(headgate.lines, [['info', 'greeting Ada']]);
});

test('a body that is no JSON is refused', async () => {
  await assert.rejects(handle(new Event({ body: '{' }), mock()), { code: 'invalid_event' });
});
