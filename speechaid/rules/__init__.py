"""Decisions without deeds: every rule takes values and the time, and returns a value."""
