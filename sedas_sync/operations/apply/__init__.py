"""Carry out a plan.

`plan_runner` applies the limits, and records what a plan wants. `run` is the loop. It passes events to state machines
without I/O (`orders`, `assembly`, `downloads`, `file_moves`, `unpacks`), which yield effects. `perform` carries out the
effects: `archive_calls` talks to archives, `fetcher` downloads, `unpacker` unpacks, `mirror_files` changes the mirror.
`effects` defines all events and effects, `reports` collects what the run reports, `options` what a caller can choose.
"""
