"""One module a command, each with the command under its own name; they are imported when they are asked for."""
