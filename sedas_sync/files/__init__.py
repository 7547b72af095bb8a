"""Files below a mirror: paths that never follow links, checks of their content, and the threads that read them."""
