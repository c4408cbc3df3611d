"""A Retell-compatible HTTP server for the demo, the tests and the chaos runs.

It accepts calls as Retell does, but no phone rings. In reading order:

``settings``          all settings; most can be changed while it runs
``reasons``           each ``disconnection_reason``: its call status, and how far such a call gets
``script``            the outcome of the next call to a number: scripted, or drawn from a seed
``calls``             a call, planned when it is placed; its state is computed from the time, without a timer
``document``          a call as Retell's JSON
``bodies``            validation of create requests
``directory``         agents, their prompts, and phone numbers
``listing``           filters and pages of list-calls
``placed_calls``      the record of every placed call, and of overlapping calls to one number
``workspace``         the API's operations: create, get, stop, list, concurrency, idempotency keys
``faults``            injected faults, switched on while it runs
``broken_responses``  responses that are late, reset or invalid
``app``               the endpoints; ``control``: the endpoints under ``/_simulator``
``server``            the command line: ``python -m speechaid.demo.simulator``
``process``           the simulator as a child process, for tests and the demo
"""
