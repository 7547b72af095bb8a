"""Files below a mirror: paths that never follow links, and checks of their content.

`threads` and `extras` are for every package.
"""
