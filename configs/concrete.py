"""Strength of concrete (UCI Concrete Compressive Strength). Not shipped.

    python -m dirjax.main --config configs/concrete.py:beta_nll \
        --workdir runs/concrete --config.data.path=FILE

Without data.path, dirjax looks for the file in the folder DIRJAX_DATA.

701 training rows, 41 bins of 2 MPa (14 median, 27 few), balanced val and test of 152
rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.table()
    config.data.name = "concrete"
    config.data.label = "ConcreteCompressiveStrength"
    config.data.unit = "MPa"
    config.data.bin_width = 2.0
    config.data.label_range = (2.0, 84.0)
    config.data.scaling = "standard"
    return common.finish(config, arg)
