"""Age from face images, balanced val and test: UTKFace-DIR. For research only.

    python -m dirjax.main --config configs/utkface_dir.py:sqinv --workdir runs/faces

17,826 training images of 64x64, ages 1 to 116 (42 many, 35 median, 26 few), at most
2,007 of one age; 1,532 images each in val and test. The file is read from DIRJAX_DATA
or `data.path`. The labels are noisy: an MAE far below 4 is unattainable, and gradient
boosting on PCA components reaches 14.7. The option `small` uses 32x32 images and fewer
epochs, which is feasible on two CPU cores:

    python -m dirjax.main --config configs/utkface_dir.py:sqinv,small --workdir runs/a

The option `augment` flips training images and crops them after padding by a sixteenth
of their side, as published for other faces (16 of 224 pixels). It is off by default;
the results in docs/ do not use it.
"""

from dirjax.configs import common


def get_config(arg="sqinv"):
    """The config for METHOD[,OPTION...]; options `small` for a CPU, and `augment`."""
    name, *options = arg.split(",")
    config = common.images()
    config.data.kind = "arrays"
    config.data.name = "utkface_dir"
    config.data.input = "jpeg"
    config.data.label = "age"
    config.data.unit = "years"
    config.data.bin_width = 1.0
    config.data.label_range = (0.0, 117.0)
    config.data.image_size = 64
    config.data.batch_size = 128
    # Ages are densest at 1 and at 26 years. By the box plot only those from 46 on are
    # rare, by a density below a fifth of the largest also those from 5 to 19.
    config.base.changes.resample = {"relevance": "density", "threshold": 0.8}
    config.model.encoder.stage_sizes = (1, 1, 1)
    config.stage.main.epochs = 30.0
    config.log.every = 50
    if "small" in options:
        options.remove("small")
        config.data.image_size = 32
        config.stage.main.epochs = 12.0
    if "augment" in options:
        options.remove("augment")
        config.data.augment.flip = True
        config.data.augment.crop = config.data.image_size // 16
    return common.finish(config, ",".join([name, *options]))
