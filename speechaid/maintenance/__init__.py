"""Periodic work that no call depends on: counts, housekeeping, call analyses."""
