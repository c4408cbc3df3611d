"""A Retell-compatible HTTP server for the demo, the tests and the chaos runs.

Calls go through it as through Retell, but nobody's phone rings. In reading order:

``settings``   every knob, and what may be turned while it runs
``reasons``    each ``disconnection_reason``: the status it comes with and how far such a call gets
``script``     which outcome the next call to a number has: scripted, or drawn from a seed
``calls``      a call as a plan made when it is placed; its state is computed from the time, by nobody's timer
``document``   a call as Retell's JSON
``bodies``     what a create request must look like
``listing``    filters and pages of list-calls
``ledger``     the record of every call truly placed, and the calls to one number that overlapped
``exchange``   the switchboard: create, get, stop, list, concurrency, idempotency keys
``faults``     what can go wrong, switched on while it runs
``spoiled``    answers that never come, or come broken
``app``        the five endpoints; ``control`` the endpoints under ``/_simulator``
``server``     the command line: ``python -m speechaid.demo.simulator``
``process``    the whole thing as a child process, for tests and the demo
"""
