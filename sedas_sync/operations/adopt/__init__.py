"""Adopt files and folders that are on disk already.

`run` is the operation. `candidates` finds what may be a scene by the ids in names, `sedas_sync.state.untracked` checks
it, `adopter` does so for one scene after the other, and `placing` moves or brings it to its place.
"""
