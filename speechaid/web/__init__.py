"""``speechaid web``: the HTTP API, a process of its own (docs/api.md)."""
