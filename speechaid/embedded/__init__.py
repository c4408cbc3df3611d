"""The embedded database: a MongoDB-compatible server that the daemon starts and supervises."""
