"""File formats as arrays and text, independent of labels."""
