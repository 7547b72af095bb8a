"""Searches that are complete although the archive cuts long answers."""
