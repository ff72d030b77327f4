// The flow {{name}}.
import { Failure } from './headgate.js';

/** What comes in is the JSON body of the webhook; what is returned is answered as JSON. */
export async function handle(event, headgate) {
  const { name } = event.json();
  if (!name) throw new Failure('empty_name', 'The name is empty.');
  headgate.log.info(`greeting ${name}`);
  return { greeting: `Hello, ${name}!` };
}
