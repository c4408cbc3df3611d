"""The chaos run: whole hosts at work while everything that they stand on is killed, frozen or lies.

``python -m tests.chaos --help`` starts one; ``docs/chaos.md`` says what it shows.
"""
