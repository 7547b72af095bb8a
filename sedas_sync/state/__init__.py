"""What a mirror remembers: its index, its order journal, its lock, and unfinished scenes."""
