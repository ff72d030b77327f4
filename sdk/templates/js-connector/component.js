// Joins the connector with the server's interfaces. It is not yours to change: `headgate new` wrote it.
import * as blobs from 'headgate:runtime/blobs@0.1.0';
import * as connection from 'headgate:runtime/connection@0.1.0';
import * as run from 'headgate:runtime/run@0.1.0';
import { connector } from './headgate.js';
import * as user from './connector.js';

export const methods = connector(user, { connection, run, blobs });
