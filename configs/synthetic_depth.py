"""Drawn rooms with a depth for each pixel: a dense task that needs no file.

    python -m dirjax.main --config configs/synthetic_depth.py:sqinv --workdir runs/depth

400 training images of 32 x 48 pixels, depth in metres at half of that, 0.7 to 10. Far
pixels are rare in training and as many as near ones in val and test.
`--config.data.skew=S` sets how rare; 0 leaves what perspective does.
"""

from dirjax.configs import common


def get_config(arg="vanilla"):
    """The config for METHOD[,OPTION...]."""
    config = common.depth()
    config.data.kind = "scenes"
    config.data.name = "synthetic_depth"
    config.data.label_range = (0.7, 10.0)
    config.data.skew = 4.0
    # Pixels: 20 times as many in a bin as images.
    config.data.many = 1000
    config.data.few = 300
    config.data.batch_size = 16
    config.stage.main.epochs = 20.0
    return common.finish(config, arg)
