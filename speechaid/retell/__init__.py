"""Retell: the only place that talks HTTP to it."""
