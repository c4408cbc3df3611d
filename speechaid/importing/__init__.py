"""Reader processes: files are parsed, and reports made, in short-lived children with limits.

``process`` is the daemon's side, ``child`` the child's; what they exchange stands in ``frames``. Each task
has a module, which the child runs and which the daemon reads the result with: ``contacts``, ``numbers``.
"""
