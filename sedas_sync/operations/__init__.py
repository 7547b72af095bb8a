"""What can be done with a mirror, one module per operation."""
