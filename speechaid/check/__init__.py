"""``speechaid check``: is everything there that the daemon needs?"""
