"""Command lines: flags, arguments, exit status."""
