// A flow in JavaScript, for the stories: it does what the query's `what` says.
import { Failure, respond } from './headgate.js';

export const description = { event: {} };

export async function handle(event, headgate) {
  switch (event.query.get('what')) {
    case 'facts': {
      const { id, flow, environment, caller } = headgate.run;
      const { method, path } = event;
      headgate.log.info('it is asked for facts');
      console.log('a line of the console');
      const params = Object.fromEntries(event.params);
      const greeting = event.headers.get('x-greeting');
      return { method, path, params, greeting, tags: event.query.getAll('tag'), id, flow, environment, caller };
    }
    case 'call':
      return headgate.connection('shop').call('get_item', event.json());
    case 'all': {
      const shop = headgate.connection('shop');
      const answers = headgate.callAll(event.json().ids.map((id) => [shop, 'get_item', { id }]));
      return answers.map((answer) => (answer instanceof Failure ? answer.code : answer.name));
    }
    case 'bytes': {
      const bytes = event.bytes();
      return respond(201, headgate.blob('application/octet-stream', bytes.reverse()), { 'x-length': bytes.length });
    }
    case 'fail':
      throw new Failure('out_of_stock', 'There are no lamps left.', { retryAfter: 60, details: { item: 'lamp' } });
    case 'surprise':
      return undefined.oops;
    case 'fetch':
      return (await fetch('http://127.0.0.1:9/')).status;
    case 'forever':
      for (;;);
    default:
      return event.json();
  }
}
