"""``doctor``: facts gathered, then checks that turn them into findings."""
