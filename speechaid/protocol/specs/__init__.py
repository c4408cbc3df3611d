"""The specifications of the control commands, one module for each group of ``--help``."""
