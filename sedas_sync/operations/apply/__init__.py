"""Carry out a plan.

`run` is the loop. It passes events to state machines without I/O (`orders`, `assembly`, `downloads`, `file_moves`),
which yield effects. `perform` carries out the effects: `archive_calls` talks to archives, `fetcher` downloads, `disk`
changes the mirror. `effects` defines all events and effects, `reports` collects what the run reports.
"""
