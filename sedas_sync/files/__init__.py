"""Files below a mirror: paths that never follow links, and checks of their content. `threads` is for every package."""
