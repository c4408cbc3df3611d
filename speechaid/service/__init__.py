"""``speechaid install-service`` and ``uninstall-service``: pure plans, and the host that carries them out."""
