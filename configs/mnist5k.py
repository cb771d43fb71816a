"""5,000 MNIST digits with a continuous label. Embedded.

    python -m dirjax.main --config configs/mnist5k.py:sqinv_lds --workdir runs/digits

The label is the stroke thickness in pixels (default), the slant in degrees
(option `slant`), or a rotation drawn with an adjustable skew (option `rotation`,
`--config.data.skew=5`; 0 is uniform):
"""

from dirjax.configs import common

# Width of bins and range for each label.
LABEL = {
    "thickness_px": (0.1, (0.8, 7.8)),
    "slant_deg": (2.0, (-44.0, 58.0)),
    "rotation_deg": (2.0, (0.0, 90.0)),
}


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; the options `slant` and `rotation` change
    the label."""
    name, *options = arg.split(",")
    label = "thickness_px"
    for option in ("slant", "rotation"):
        if option in options:
            options.remove(option)
            label = f"{option}_deg"
    config = common.get_config()
    config.data.kind = "digits"
    config.data.name = "mnist5k"
    config.data.label = label
    config.data.bin_width, config.data.label_range = LABEL[label]
    config.data.skew = 5.0
    config.data.batch_size = 64
    config.model.name = "small_resnet"
    # The stem halves the image twice: three times as fast on a CPU as the 3x3 stem,
    # with equal errors.
    config.model.encoder.stem = "imagenet"
    config.model.encoder.width = 32
    config.model.encoder.stage_sizes = (1, 1, 1)
    main = config.stage.main
    main.epochs = 12.0
    main.optimizer = "adamw"
    main.learning_rate = 3e-3
    main.weight_decay = 1e-2
    main.schedule = "cosine"
    main.warmup = 0.05
    config.train.average_decay = 0.99
    config.eval.every = 1.0
    config.checkpoint.every = 2.0
    config.log.every = 20
    return common.finish(config, ",".join([name, *options]))
