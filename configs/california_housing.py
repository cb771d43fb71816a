"""Median house values of California (census of 1990), capped at 500,001. Not shipped.

    python -m dirjax.main --config configs/california_housing.py:beta_nll \
        --workdir runs/california_housing --config.data.path=FILE

Without data.path, dirjax looks for the file in the folder DIRJAX_DATA.

16,326 training rows, 50 bins of 10,000 dollars (33 many, 14 median, 3 few), balanced
val and test of 2,157 rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.table()
    config.data.name = "california_housing"
    config.data.label = "median_house_value"
    config.data.unit = "dollars"
    config.data.bin_width = 10000.0
    config.data.label_range = (10000.0, 510000.0)
    config.data.scaling = "standard"
    # Longitude and latitude need high frequencies.
    config.model.encoder.frequency_scale = 3.0
    config.model.encoder.dropout = 0.2
    return common.finish(config, arg)
