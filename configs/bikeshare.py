"""UCI Bike Sharing: hourly rentals from date and weather. Shipped; the default run.

    python -m dirjax.main --config configs/bikeshare.py:beta_nll --workdir runs/bike

6,547 training rows, 65 bins of 10 rentals (21 many, 25 median, 19 few), balanced val
and test of 1,049 rows each.
"""

from dirjax.configs import common


def get_config(arg="beta_nll"):
    """The config for METHOD[,OPTION...]."""
    config = common.get_config()
    config.data.name = "bikeshare"
    config.data.label = "bikers"
    config.data.unit = "rentals an hour"
    config.data.bin_width = 10.0
    config.data.label_range = (0.0, 660.0)
    config.data.both = 366
    config.data.scaling = "standard"
    config.model.name = "mlp"
    config.model.encoder = common.mlp(dropout=0.2)
    main = config.stage.main
    main.epochs = 100.0
    main.optimizer = "adamw"
    main.learning_rate = 2e-3
    main.weight_decay = 1e-2
    main.schedule = "cosine"
    main.warmup = 0.02
    config.train.chunk = 50
    config.eval.every = 2.0
    config.checkpoint.every = 20.0
    return common.finish(config, arg)
