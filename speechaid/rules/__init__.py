"""Pure decision functions: they take values and the time, and return a value. No I/O, no clock."""
