"""Showing values to people and programs: plans, scenes, events. Nothing is decided here."""
