"""Every field of a config, with its meaning. Data set configs override some of them.

from dirjax.configs import common

def get_config(arg="vanilla"):
    config = common.get_config()
    config.data.name = "mine"
    return common.finish(config, arg)
"""

from ml_collections import ConfigDict, config_dict

from dirjax.config import compose
from dirjax.configs import methods


def stage():
    """The fields of one stage."""
    return ConfigDict(
        {
            # Length: in epochs, or in steps where that is not 0.
            "epochs": 10.0,
            "steps": 0,
            # adam | adamw | sgd; see dirjax/optimizers.py.
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            # Which parameters decay: kernels | all.
            "decay": "kernels",
            "momentum": 0.9,
            "b2": 0.999,
            # Largest norm of the gradient; 0 is none.
            "clip": 0.0,
            # Steps whose gradients make one update. Not a larger batch for losses
            # over pairs.
            "accumulate": 1,
            # constant | cosine | step; warmup, final and milestones are fractions.
            "schedule": "cosine",
            "warmup": 0.0,
            "final": 0.0,
            "milestones": (2 / 3, 8 / 9),
            "factor": 0.1,
            # Patterns of parameters to train (all if empty), and to draw anew first.
            "trainable": config_dict.placeholder(tuple),
            "reinit": config_dict.placeholder(tuple),
            # Parameters of the stage before: last | best.
            "init_from": "last",
            # Batch norm and dropout of the encoder: train | eval.
            "encoder_mode": "train",
            # Views of each image: 1 | 2; empty is data.views; 0 is two where images are
            # augmented, and data.views where they are not.
            "views": config_dict.placeholder(int),
            # A preset may add evaluate=False: no validation within the stage.
            # Objective of this stage; empty means config.objective.
            "objective": ConfigDict(),
        }
    )


def mlp(**changes):
    """The fields of the table model; see dirjax/models/mlp.py."""
    fields = {
        "width": 256,
        "depth": 3,
        # Of numeric columns: periodic | piecewise (needs data.quantiles) | none.
        "embedding": "periodic",
        "embedding_dim": 16,
        "frequency_scale": 0.3,
        "category_dim": 16,
        "dropout": 0.1,
    }
    return ConfigDict(fields | changes)


def get_config():
    """All fields with their defaults."""
    config = ConfigDict()
    config.seed = 0
    # Name of the preset, for reports.
    config.method = "vanilla"

    config.data = data = ConfigDict()
    # What the file is: table (CSV, Parquet) | arrays (NPZ) | images (folder and table)
    # | tfds (TensorFlow Datasets) | digits (mnist5k) | scenes (synthetic_depth)
    # | pairs (NPZ of embeddings) | text (pairs of sentences), both of stsb_dir
    # | nyud2 (pictures with depth: nyud2_dir, which has the fields data.depth and
    # data.augment_dense besides).
    data.kind = "table"
    # Name in reports; of a data set of your own it is that of the file.
    data.name = config_dict.placeholder(str)
    # File or folder; data sets that ship with dirjax need none.
    data.path = config_dict.placeholder(str)
    # Column or array of the label, and its unit.
    data.label = config_dict.placeholder(str)
    data.unit = ""
    # linear | log: the model learns the natural logarithm, bins are in its units;
    # metrics and predictions are in those of the label all the same.
    data.label_scale = "linear"
    # Column that says train, val or test. Without it a balanced split is made: of a
    # bin with n rows min(n // split_divisor, split_cap) go to val, and to test.
    data.split = "split"
    data.split_divisor = 5
    data.split_cap = 30
    # Column of weights in the training loss.
    data.weight = config_dict.placeholder(str)
    # Bins of the label: width (empty: by the rule of labels.auto_width), and
    # (low, high) of the label if it is not that of the data. Labels outside of it are
    # an error, or go to the end bins: error | end.
    data.bin_width = config_dict.placeholder(float)
    data.label_range = config_dict.placeholder(tuple)
    data.outside = "error"
    # Type of the edges of bins, float64 | float32; STS-B-DIR is binned in float32.
    data.bin_dtype = "float64"
    # Shots: more training examples than `many`, fewer than `few`; or lists of bins,
    # {"many": (0, 1), "median": (...), "few": (...)}, as some benchmarks fix them.
    data.many = 100
    data.few = 20
    data.shot_lists = ConfigDict()
    # Use so many training rows only; 0 is all.
    data.limit = 0
    # Rows that cannot be used (no label, no number, unreadable image): error | skip.
    data.on_bad = "error"
    # Seed of splits and of generated labels; not of training.
    data.seed = 0
    # Rows of the global batch, over all devices and processes; empty: the power of
    # two from 16 to 256 that is at most an eighth of the training rows.
    data.batch_size = config_dict.placeholder(int)
    data.batch_size = 256
    # Augmentation of training images: mirrored left for right in half of the cases, cut
    # at a random place after padding by so many pixels (published: 16 of 224; 0 is
    # none), and what the padding is: zero | edge.
    # `zoom` cuts a random part of at least this share of the area, of any shape from
    # 3:4 to 4:3, and resizes it (published: 0.2; 0 is none). `jitter` changes
    # brightness, contrast and saturation by up to this factor (0.4), `hue` turns
    # colours by up to this share of the circle (0.1), both in `jitter_share` of images;
    # `grey` of them lose their colours (0.2).
    data.augment = ConfigDict(
        {
            "flip": False,
            "crop": 0,
            "padding": "zero",
            "zoom": 0.0,
            "jitter": 0.0,
            "hue": 0.0,
            "jitter_share": 0.8,
            "grey": 0.0,
        }
    )
    # Views of each image in a batch, each with an augmentation of its own: 1 | 2. With
    # two the model sees twice as many rows as the batch has.
    data.views = 1
    # array (numpy) | tf (tf.data): the same batches.
    data.reader = "array"
    # Tables: types of columns (found where not named), columns to leave out, words
    # that stand for a missing value, scaling standard | robust, pieces of the
    # piecewise-linear encoding, and the largest number of whole values up to which a
    # numeric column is a category, too.
    data.numeric = config_dict.placeholder(tuple)
    data.categorical = config_dict.placeholder(tuple)
    data.drop = config_dict.placeholder(tuple)
    data.missing = config_dict.placeholder(tuple)
    data.scaling = "robust"
    data.quantiles = 0
    data.both = 0
    # Images: column of paths (tfds: image feature; arrays: array of inputs; pairs: file
    # in the folder), height and width to resize to, channels 1 | 3 | 0 (as the images
    # have them).
    data.input = ""
    data.image_size = 64
    data.channels = 0
    # Image files: how they become squares of image_size, stretch (both sides) | cover
    # (the shorter side; the middle is kept); how many pixels of each side the model
    # sees, in evaluation those in the middle (0: all); mean and deviation of pixels in
    # 0..1 that they are standardised with, numbers or one for each channel (empty:
    # those of the training images); and the most GiB of images that stay in memory,
    # while those of larger sets are decoded whenever they are read.
    data.fit = "stretch"
    data.view_size = 0
    data.mean_and_std = config_dict.placeholder(tuple)
    data.memory = 4.0
    # tfds: fetch and prepare it first.
    data.download = False
    # Digits: skew of the rotation. Scenes: of the distance.
    data.skew = 0.0

    config.model = model = ConfigDict()
    model.name = "mlp"
    # linear (one value) | dense (one value a pixel) | experts (one a group; needs
    # `config.groups`, which presets that use groups set).
    model.head = "linear"
    # Further keyword arguments of the head.
    model.head_options = ConfigDict()
    # float32 | bfloat16: what the encoder computes in. SSIR trains in float32 whatever
    # this says, as its noise is below the spacing of bfloat16.
    model.dtype = "float32"
    # File of weights for the encoder, a ResNet-18, 34 or 50 of torchvision or timm:
    # .safetensors or .pth; see dirjax/models/convert.py.
    model.pretrained = config_dict.placeholder(str)
    # standard: the head learns labels standardised by the training set's mean and
    # deviation; deviation: labels over the deviation, so that features of labels near 0
    # may be short; range: labels over the width of data.label_range, from its low end
    # (pairs of sentences); none: labels as they are. Losses are in label units in any
    # case.
    model.label_scaling = "standard"
    # Further keyword arguments of the encoder.
    model.encoder = ConfigDict()

    # Directory of a finished run whose best parameters the first stage begins with; its
    # data and model must be those of this one, but for what that stage draws anew.
    config.init_from = config_dict.placeholder(str)

    config.stages = ("main",)
    config.stage = ConfigDict({"main": stage()})

    config.train = train = ConfigDict()
    # Decay of the moving average of parameters that is evaluated; 0 is none.
    train.average_decay = 0.0
    # Steps in one call of the compiled program.
    train.chunk = 1

    config.eval = evaluation = ConfigDict()
    # In epochs; empty is fifty times a run.
    evaluation.every = config_dict.placeholder(float)
    evaluation.every = 1.0
    evaluation.batch_size = 1024
    # Stands for an error of exactly zero in the geometric mean; 0 lets the mean be 0.
    evaluation.gm_epsilon = 1e-10
    # Whether the run ends with features.npz, variances and norms of features by bin.
    evaluation.features = False

    # In epochs; empty is ten times a run.
    config.checkpoint = ConfigDict({"every": config_dict.placeholder(float)})
    config.checkpoint.every = 10.0
    config.log = ConfigDict({"every": 50})  # in steps
    # Writers beside metrics.jsonl and the terminal: tensorboard, wandb.
    config.writers = config_dict.placeholder(tuple)
    # Which checkpoint is the result: smallest validation metric of a shot group. With
    # split="test" the test split chooses, as in the public depth code: the result is
    # then better than on new data, and says so.
    config.select = ConfigDict({"metric": "mae", "shot": "all", "split": "val"})
    # The loss that `BASE` in a preset stands for: l1 | mse | huber. The options of the
    # same names change it. `changes` are fields of wrappers and terms that the data set
    # wants otherwise than the preset.
    config.base = ConfigDict({"term": "l1", "beta": 1.0, "changes": {}})
    return config


def table():
    """All fields, set for a table of unknown size."""
    config = get_config()
    config.data.batch_size = None
    config.model.name = "mlp"
    config.model.encoder = mlp()
    main = config.stage.main
    main.steps = 3000
    main.optimizer = "adamw"
    main.learning_rate = 2e-3
    main.weight_decay = 1e-2
    main.warmup = 0.02
    config.train.chunk = 50
    config.log.every = 100
    config.eval.every = None
    config.checkpoint.every = None
    return config


def images():
    """All fields, set for small images in unknown number."""
    config = get_config()
    config.data.kind = "images"
    config.data.batch_size = None
    config.model.name = "small_resnet"
    config.model.encoder.stem = "imagenet"
    config.model.encoder.width = 32
    config.model.encoder.stage_sizes = (1, 1, 1)
    main = config.stage.main
    main.epochs = 20.0
    main.optimizer = "adamw"
    main.learning_rate = 3e-3
    main.weight_decay = 1e-2
    main.warmup = 0.05
    config.train.average_decay = 0.99
    config.log.every = 20
    config.eval.every = 1.0
    config.checkpoint.every = 2.0
    return config


def depth():
    """All fields, set for small images with a depth for each pixel."""
    config = images()
    config.data.label = "depth"
    config.data.unit = "m"
    config.data.bin_width = 0.1
    config.model.name = "small_unet"
    config.model.head = "dense"
    config.model.encoder = ConfigDict({"width": 16, "levels": 3})
    config.eval.batch_size = 128
    config.select.metric = "rmse"
    config.base.term = "mse"
    # As published for depth: pixels are many, so their counts are not clipped.
    config.base.changes = ConfigDict(
        {
            "reweight": {"clip": None},
            "lds": {"clip": None, "padding": "edge"},
            "fds": {"clip": (0.2, 5.0), "whole_rows": True, "alias": False},
            "ssir": {"epsilon": 5e-4},
        }
    )
    return config


def table_or_images(arg):
    """The fields for a table, or with the option `images` for images.

    Returns:
      The config, and the argument without that option.
    """
    name, *options = arg.split(",")
    if "images" not in options:
        return table(), arg
    options.remove("images")
    return images(), ",".join([name, *options])


def finish(config, arg, presets=None):
    """Applies `METHOD[,OPTION...]` and returns the config.

    Args:
      config: as the data set wants it. Other stages of the preset are copies of
        `config.stage.main` with the share of its length in `methods.SHARES`, which
        follows when that length is set later; a data set may say otherwise in
        `config.stage.head`, and in `config.groups`.
      arg: what stands after the colon, see `dirjax.config.compose`.
      presets: of your own, by name, beside those of `methods.PRESETS`.

    Raises:
      ValueError: for an unknown method or option.
    """
    return compose.finish(config, arg, methods, presets or {})
