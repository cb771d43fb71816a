"""Rendered rooms with a depth per pixel: a dense task that needs no file.

    python -m dirjax.main --config configs/synthetic_depth.py:sqinv --workdir runs/depth

400 training images of 32 x 48 pixels, with depth at half that resolution, 0.7 to 10 m.
Distant pixels are rare in training, but as frequent as near ones in val and test.
`--config.data.skew=S` sets how rare; 0 leaves only the effect of perspective.
"""

from dirjax.configs import common


def get_config(arg="vanilla"):
    """The config for METHOD[,OPTION...]."""
    config = common.depth()
    config.data.kind = "scenes"
    config.data.name = "synthetic_depth"
    config.data.label_range = (0.7, 10.0)
    config.data.skew = 4.0
    # Counts are pixels, of which a bin has 20 times as many as images.
    config.data.many = 1000
    config.data.few = 300
    config.data.batch_size = 16
    config.stage.main.epochs = 20.0
    return common.finish(config, arg)
