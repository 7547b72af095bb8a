"""Downloads on other processes or machines."""
