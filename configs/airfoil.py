"""Noise of airfoils (UCI Airfoil Self-Noise). Not shipped.

    python -m dirjax.main --config configs/airfoil.py:beta_nll \
        --workdir runs/airfoil --config.data.path=FILE

Without data.path, dirjax looks for the file in the folder DIRJAX_DATA.

1,055 training rows, 37 bins of 1 dB (20 median, 17 few), balanced val and test of 224
rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.table()
    config.data.name = "airfoil"
    config.data.label = "ScaledSoundPressure"
    config.data.unit = "dB"
    config.data.bin_width = 1.0
    config.data.label_range = (103.0, 141.0)
    config.data.scaling = "standard"
    return common.finish(config, arg)
