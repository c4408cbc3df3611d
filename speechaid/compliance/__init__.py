"""The calling rules of a country as data (packs), and pure functions that decide by them."""
