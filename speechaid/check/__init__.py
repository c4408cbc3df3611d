"""``speechaid check``: checks what the daemon needs."""
