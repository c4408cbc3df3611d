"""Periodic work on which no call depends: counts, housekeeping, call analyses."""
