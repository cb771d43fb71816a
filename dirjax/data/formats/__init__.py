"""File formats, as arrays and text; they know no labels."""
