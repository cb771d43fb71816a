"""Published tables as configs, one module per table."""
