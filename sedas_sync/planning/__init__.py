"""Pure decisions: which scenes match, what is missing, what to do about it. No I/O."""
