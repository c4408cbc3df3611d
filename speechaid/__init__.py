"""speechaid: outbound AI phone-call campaigns; never twice, never lost.

The packages in the order in which a job meets them (imports nothing; this is the table of contents):

``cli`` starts ``daemon``, whose ``supervisor`` keeps a fleet (``fleet``) of ``worker`` processes to size and
handles the commands (``commands``) that come over ``control``. A worker claims a job and takes it through
one call (``dialer``): ``rules`` decide whether it may be dialled, ``retell`` places and follows the call,
``dialer.settlement`` writes the result, ``dialer.recovery`` continues what a dead worker left. ``store`` is
the database, ``embedded`` a small database server of our own, ``model`` the records that all share;
``maintenance``, ``monitoring`` and ``telemetry`` count, watch and report.
"""

__version__ = "0.1.0"
