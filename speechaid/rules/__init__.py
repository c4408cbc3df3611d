"""Decision functions: each takes values and the time, and returns a value. No I/O, no clock, no randomness."""
