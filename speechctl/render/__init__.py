"""Command results for people: from a result to blocks, and blocks to lines or a terminal."""
