"""Age from faces: AgeDB-DIR, the protocol of Yang et al. 2021. For research only.

    python -m dirjax.main --config configs/agedb_dir.py:sqinv_lds \
        --config.data.path=FOLDER --workdir runs/agedb

FOLDER contains agedb.csv (github.com/YyzHarry/imbalanced-regression, agedb-dir/data)
and the folder AgeDB with the 16,488 images, available from the authors of AgeDB on
request. 12,208 training images, ages 1 to 101 (51 ages many, 16 median, 33 few); 2,140
each in val and test. Images are resized to 224 x 224; in training they are padded by 16
black pixels, cropped at random and flipped with probability 1/2. ResNet-50 from
scratch, Adam at 1e-3, times 0.1 after epochs 60 and 80 of 90, batch size 256, L1 loss;
the best epoch by validation L1 is evaluated on test.

The folder is read directly. What `python -m dirjax.data build agedb_dir --manual_dir
FOLDER --data_dir DATA_DIR` makes of it gives the same batches with
--config.data.kind=tfds --config.data.path=DATA_DIR.

Options: `resnet18`; `protocol2`, that of Rank-N-Contrast and BSAM: ResNet-18, SGD at
0.2 with a cosine schedule over 400 epochs, random resized crops and colour jitter,
evaluation on the central 224 of 256 pixels. Its results are not comparable, so its data
set has a separate name, agedb_dir_p2, which no table mixes with agedb_dir.
"""

from ml_collections import ConfigDict

from dirjax.configs import common


def faces(name):
    """All fields, as published for age from faces."""
    config = common.get_config()
    config.data.kind = "images"
    config.data.reader = "tf"
    config.data.name = name
    config.data.label = "age"
    config.data.unit = "years"
    config.data.bin_width = 1.0
    config.data.label_range = (0.0, 121.0)
    config.data.image_size = 224
    config.data.channels = 3
    config.data.mean_and_std = (0.5, 0.5)
    config.data.augment.flip = True
    config.data.augment.crop = 16
    config.model.name = "resnet50"
    config.model.label_scaling = "none"
    main = config.stage.main
    main.epochs = 90.0
    main.schedule = "step"
    config.eval.batch_size = 256
    config.eval.gm_epsilon = 0.0
    # Ages have no outliers among the young, whom a box plot therefore takes for common:
    # of the 203 few-shot rows of AgeDB-DIR, the 93 below 20 years would lose some.
    config.base.changes.resample = {"relevance": "density"}
    # Methods with groups divide the ages 0 to 100; older ones are in the last group.
    # Groups over all 121 bins would be empty above age 101, where no label is.
    config.groups = ConfigDict({"label_range": (0.0, 100.0)})
    return config


def finish(config, arg):
    """Applies `common.finish` with the additional options `resnet18` and `protocol2`.

    The second protocol is that of "Rank-N-Contrast", Zha et al., NeurIPS 2023.
    """
    name, *options = [part.strip() for part in arg.split(",")]
    if "resnet18" in options:
        options.remove("resnet18")
        config.model.name = "resnet18"
    if "protocol2" in options:
        options.remove("protocol2")
        # A separate data set name, so that no table mixes the two.
        config.data.name += "_p2"
        config.data.fit = "cover"
        config.data.image_size = 256
        config.data.view_size = 224
        config.data.augment.update({"crop": 0, "zoom": 0.2, "grey": 0.2})
        config.data.augment.update({"jitter": 0.4, "hue": 0.1})
        config.model.name = "resnet18"
        main = config.stage.main
        main.epochs = 400.0
        main.optimizer = "sgd"
        main.learning_rate = 0.2
        main.weight_decay = 1e-4
        main.decay = "all"
        main.schedule = "cosine"
        main.final = 1e-3
    return common.finish(config, ",".join([name, *options]))


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; `resnet18` and `protocol2` are options."""
    config = faces("agedb_dir")
    # Published: one bin per year from 3 to 99.
    config.base.changes.fds = {"first_bin": 3, "last_bin": 99}
    return finish(config, arg)
