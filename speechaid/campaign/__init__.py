"""Contacts files to jobs, documents to export rows, figures to reports. Pure."""
