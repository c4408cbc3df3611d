"""speechaid: outbound AI phone-call campaigns; never twice, never lost.

The modules in the order in which a job meets them (imports nothing; this is the table of contents):

``cli`` starts ``supervisor``, which keeps a fleet (``fleet``) of ``worker`` processes to size and obeys
``control``. A worker claims a job (``store.jobs``), and ``dial`` takes it through one call: ``rules`` judge
whether it may be dialled, ``retell`` places and follows the call, ``settlement`` writes what came of it.
``recovery`` goes on with what a dead worker left behind. ``model`` holds the words they all share.
"""

__version__ = "0.2.0"
