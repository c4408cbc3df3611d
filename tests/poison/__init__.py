"""The poison run: hostile documents beside sound jobs, under a real daemon.

``python -m tests.poison --seed 7 --count 60`` prints what went wrong; exit status 1 if anything did.
"""
