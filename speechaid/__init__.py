"""speechaid: outbound AI phone-call campaigns; no contact called twice, no job lost.

The packages and modules, in the order in which a job meets them (this file imports nothing):

``cli`` starts ``daemon``, which puts the parts together: ``supervisor`` runs the ``fleet`` of workers,
``control`` takes commands and ``commands`` carries them out, ``maintenance`` and ``monitoring`` do the
periodic work. A ``worker`` claims jobs, and ``dialer`` takes each through one call: ``rules`` decide,
``store`` writes to MongoDB, ``retell`` places and polls the call. ``model`` has the values, ``settings``,
``telemetry`` and ``protocol`` serve all. ``campaign`` reads contacts files and writes reports, ``embedded``
is the small database, ``check`` and ``service`` are for the operator, ``demo`` has the simulator.
``docs/architecture.md`` says who may import whom.
"""

__version__ = "0.2.0"
