"""Logs, metrics and alerts, as operators see them."""
