"""STAC APIs: item search, items as scenes with several files, and downloads of their assets."""
