"""Download scenes: from a link to a checked file under its final name."""
