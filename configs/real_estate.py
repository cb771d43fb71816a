"""Prices of houses in New Taipei (UCI Real Estate Valuation). Not shipped.

    python -m dirjax.main --config configs/real_estate.py:beta_nll \
        --workdir runs/real_estate --config.data.path=FILE

Without data.path, dirjax looks for the file in the folder DIRJAX_DATA.

322 training rows, 20 bins of 4 (8 median, 12 few), balanced val and test of 46 rows
each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.table()
    config.data.name = "real_estate"
    config.data.label = "HousePricePerUnitArea"
    config.data.unit = "10,000 NTD a ping"
    config.data.bin_width = 4.0
    config.data.label_range = (4.0, 120.0)
    config.data.scaling = "standard"
    return common.finish(config, arg)
