"""The database, and the only package that uses pymongo: a module per collection, a named method per query."""
