"""Studies: the runs of a grid."""
