"""Your own arrays: an NPZ file with `x`, `y` and, optionally, `split`.

    python -m dirjax.main --config configs/npz.py:beta_nll --workdir runs/mine \
        --config.data.path=my.npz

`x` is `[rows, columns]` numbers, NaN for missing values, or with the option `images`
(`configs/npz.py:sqinv_lds,images`) images of any type, `[rows, height, width]`, with
channels last or first; with the option `dense`, `y` has a label for each of their
pixels, `[rows, height, width]`, and `mask`, if there, tells which count. `split`
contains train, val and test (or 0, 1, 2); without it, a balanced split is made. See
docs/own-data.md.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]; the option `images` is for images, `dense`
    for images with a label for each pixel."""
    config, arg = common.by_option(arg, images=common.images, dense=common.dense)
    config.data.kind = "arrays"
    config.data.label = "y"
    return common.finish(config, arg)
