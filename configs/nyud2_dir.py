"""Depth of indoor images, with equally many test pixels per bin: NYUD2-DIR.

    python -m dirjax.main --config configs/nyud2_dir.py:inv --workdir runs/depth \
        --config.data.path=FOLDER

50,688 training images of 304 x 228 pixels, with depth at half that resolution, 0.7 to
10 m in 100 bins of 0.1 m (39 many, 15 median, 46 few, by the fixed lists of the
benchmark; the first seven are empty); 654 test images at full size, of which the
benchmark's mask keeps 9,357 pixels per bin. Model and augmentation follow Hu et al.
2019, with a ResNet-50 that published results initialise from ImageNet weights: add
--config.model.pretrained=FILE. All pairs are kept in memory, 16 GB. Rooms with 5 % of
the images are held out for validation.

What `python -m dirjax.data build nyud2_dir --manual_dir FOLDER --data_dir DATA_DIR`
makes of the folder gives the same batches with --config.data.kind=tfds
--config.data.path=DATA_DIR.

The public code selects the epoch on the test split and trains on all rows. The option
`test_selection` does the same, and result.json and the report state it.

Balanced MSE has the published noise of 1 m, not trained, and 16 components; ConR the
published weight 0.2, window 0.2 m, linear rate 0.2 and temperature 0.2. There ConR
compares means of images, here drawn pixels, so these values are a first guess for it.

The option `small` reads the 1,449 labelled pairs of NYU Depth V2 at 152 x 112 pixels
(795 train, of which 15 % by rooms are val; 654 test) from one NPZ, for two CPU cores:

    python -m dirjax.main --config configs/nyud2_dir.py:vanilla,small --workdir runs/a

Its test mask is drawn at random, 1,848 pixels per bin, so use it to compare methods,
not against published numbers. RMSE in m under this mask: 3.70 for a constant, 3.33 for
the mean depth map, 2.63 for vanilla; on all pixels (data.depth.test_mask=all): 1.36,
1.22, and 1.08 for vanilla at the end of training. A run takes five minutes on one core;
docs/results.md has more seeds and methods.
"""

from ml_collections import ConfigDict

from dirjax.configs import common

# Bins of each shot group, fixed by the benchmark.
SHOTS = {
    "many": (*range(9, 46), 47, 49),
    "median": (7, 8, 46, 48, *range(50, 57), 58, 60, 61, 63),
    "few": (*range(7), 57, 59, 62, *range(64, 100)),
}


def get_config(arg="vanilla"):
    """The config for METHOD[,OPTION...]; options `small` and `test_selection`."""
    name, *options = [part.strip() for part in arg.split(",")]
    config = common.depth()
    data = config.data
    data.kind = "nyud2"
    data.name = "nyud2_dir"
    data.label_range = (0.0, 10.0)
    data.bin_dtype = "float32"
    data.shot_lists.update(SHOTS)
    # Shorter side of the images in pixels, before the crop.
    data.image_size = 240
    data.batch_size = 32
    # The centre crop (height, width); size of the model's maps, half the crop; share of
    # training rows to hold out by room; mask of test pixels: a file, drawn or all; and
    # the table of rows for feature statistics (empty: all training rows).
    data.depth = ConfigDict(
        {
            "crop": (228, 304),
            "maps": (114, 152),
            "val_share": 0.05,
            "test_mask": "test_balanced_mask.npy",
            "statistics": "nyu2_train_FDS_subset.csv",
        }
    )
    # Images and depth together: flip with probability 1/2, rotation by up to this many
    # degrees. Images only: lighting, and largest relative change of brightness,
    # contrast and saturation. Depth outside the image: hidden | zero.
    data.augment_dense = ConfigDict(
        {
            "flip": True,
            "rotate": 5.0,
            "lighting": 0.1,
            "jitter": 0.4,
            "border": "hidden",
        }
    )
    model = config.model
    model.name = "fused_depth50"
    model.encoder = ConfigDict()
    model.head_options = ConfigDict({"kernel": 5})
    model.label_scaling = "none"
    main = config.stage.main
    main.epochs = 20.0
    main.optimizer = "adam"
    main.learning_rate = 1e-4
    main.weight_decay = 1e-4
    main.decay = "all"
    main.schedule = "step"
    main.milestones = (0.25, 0.5, 0.75)
    main.warmup = 0.0
    config.train.average_decay = 0.0
    config.eval.batch_size = 16
    # Bins 0 to 6 are empty.
    for field in ("reweight", "lds", "fds", "balanced_mse"):
        config.base.changes[field].first_bin = 7
    # As published for this data, in m.
    config.base.changes.balanced_mse.update(
        {"unit": "label", "sigma": 1.0, "learning_rate": 0.0, "components": 16}
    )
    config.base.changes.conr = ConfigDict(
        {
            "weight": 0.2,
            "unit": "label",
            "window": 0.2,
            "rate": 0.2,
            "push": "linear",
            "temperature": 0.2,
        }
    )
    if "small" in options:
        options.remove("small")
        _small(config)
    if "test_selection" in options:
        options.remove("test_selection")
        data.depth.val_share = 0.0
        config.select.split = "test"
    config = common.finish(config, ",".join([name, *options]))
    if "head" in config.stage:  # RRT trains the whole refinement, as published.
        config.stage.head.trainable = ("head", "encoder/refine")
        config.stage.head.reinit = ("head", "encoder/refine")
    return config


def _small(config):
    """Sets the labelled pairs, and a small model with the same parts."""
    data = config.data
    data.input = "nyuv2_labeled_152x112.npz"
    data.image_size = 112
    data.batch_size = 8
    data.depth.crop = (112, 152)
    data.depth.maps = (28, 38)
    data.depth.val_share = 0.15
    data.depth.test_mask = "drawn"
    data.depth.statistics = ""
    model = config.model
    model.name = "fused_depth"
    model.encoder = ConfigDict(
        {
            "stage_sizes": (2, 2, 2, 2),
            "width": 32,
            "decoder": 8,
            "fused": 4,
            "kernel": 3,
            "shrink": 2,
        }
    )
    model.head_options.kernel = 3
    model.label_scaling = "standard"
    main = config.stage.main
    main.epochs = 16.0
    main.optimizer = "adamw"
    main.learning_rate = 3e-3
    main.weight_decay = 1e-2
    main.decay = "kernels"
    main.schedule = "cosine"
    main.warmup = 0.05
    config.train.average_decay = 0.99
    config.eval.batch_size = 32
