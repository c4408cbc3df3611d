"""The database: the only place that knows pymongo; a module per collection, a named method per query."""
