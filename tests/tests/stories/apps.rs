//! Connectors against stand-ins for their apps, called by a flow on a real server.
