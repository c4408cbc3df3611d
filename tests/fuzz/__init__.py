"""Fuzz targets: texts of others, mutated at random, given to what reads them.

``python -m tests.fuzz TARGET --seconds N`` runs one for longer than the tests do. A text that a target does
not bear is written to a file; once that is mended, it goes into ``corpus/TARGET``, which the tests read.
"""
