"""Observation of the daemon, and the alerts computed from it."""
