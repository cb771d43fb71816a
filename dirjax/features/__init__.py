"""Features by label bin: moments, prototypes, norms."""
