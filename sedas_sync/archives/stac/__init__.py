"""Any STAC API as an archive: item search, items as scenes of several files, and access to their assets."""
