// Joins the flow with the server's interfaces. It is not yours to change: `headgate new` wrote it.
import * as blobs from 'headgate:runtime/blobs@0.1.0';
import * as connections from 'headgate:runtime/connections@0.1.0';
import * as run from 'headgate:runtime/run@0.1.0';
import { flow } from './headgate.js';
import * as user from './flow.js';

export const handler = flow(user, { connections, run, blobs });
