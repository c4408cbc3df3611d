"""``doctor``: gathers facts, and evaluates checks on them."""
