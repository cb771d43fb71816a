"""Prices of 53,794 diamonds (ggplot2). Not shipped: data.path is the file.

    python -m dirjax.main --config configs/diamonds.py:beta_nll --workdir runs/gems \
        --config.data.path=diamonds.csv.gz

46,154 training rows, 94 bins of 200 dollars (56 many, 37 median, 1 few), balanced val
and test of 3,820 rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.get_config()
    config.data.name = "diamonds"
    config.data.label = "price"
    config.data.unit = "dollars"
    config.data.bin_width = 200.0
    config.data.label_range = (200.0, 19000.0)
    config.data.scaling = "standard"
    config.model.name = "mlp"
    config.model.encoder = common.mlp(dropout=0.05)
    main = config.stage.main
    main.epochs = 15.0
    main.optimizer = "adamw"
    main.learning_rate = 4e-3
    main.weight_decay = 1e-2
    main.schedule = "cosine"
    main.warmup = 0.02
    config.train.chunk = 50
    config.log.every = 200
    config.eval.every = 1.0
    config.checkpoint.every = 5.0
    return common.finish(config, arg)
