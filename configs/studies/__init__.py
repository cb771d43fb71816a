"""Studies: grids of runs for `python -m dirjax.sweep`."""
