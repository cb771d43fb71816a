"""Your own arrays: an NPZ file with `x`, `y` and, optionally, `split`.

    python -m dirjax.main --config configs/npz.py:sqinv_lds --workdir runs/mine \
        --config.data.path=my.npz

`x` is `[rows, columns]` numbers, NaN for missing values, or with the option `images`
(`configs/npz.py:sqinv_lds,images`) uint8 `[rows, height, width]`, optionally with 1 or
3 channels as a fourth axis. `split` contains train, val and test (or 0, 1, 2); without
it, a balanced split is made. See docs/own-data.md.
"""

from dirjax.configs import common


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; the option `images` is for images."""
    config, arg = common.table_or_images(arg)
    config.data.kind = "arrays"
    config.data.label = "y"
    return common.finish(config, arg)
