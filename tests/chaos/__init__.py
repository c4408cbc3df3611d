"""The chaos run: whole hosts at work while processes, database and Retell are killed, frozen or made to fail.

``python -m tests.chaos --help`` shows its options; ``docs/chaos.md`` describes what it checks.
"""
