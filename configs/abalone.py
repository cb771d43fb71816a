"""Rings of abalones (UCI); the age in years is 1.5 more. Not shipped.

    python -m dirjax.main --config configs/abalone.py:beta_nll \
        --workdir runs/abalone --config.data.path=FILE

Without data.path, dirjax looks for the file in the folder DIRJAX_DATA.

3,439 training rows, 28 bins of one ring (8 many, 8 median, 12 few), balanced val and
test of 369 rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.table()
    config.data.name = "abalone"
    config.data.label = "Rings"
    config.data.unit = "rings"
    config.data.bin_width = 1.0
    config.data.label_range = (1.0, 29.0)
    config.data.scaling = "standard"
    return common.finish(config, arg)
