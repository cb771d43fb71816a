"""All fields of a config with their defaults. Data set configs override some of them.

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
            # Length: in epochs, or in steps if `steps` is not 0.
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
            # Largest gradient norm; 0 means no clipping.
            "clip": 0.0,
            # Steps whose gradients are averaged into one update. This is not a larger
            # batch for pairwise losses.
            "accumulate": 1,
            # constant | cosine | step; warmup, final and milestones are fractions.
            "schedule": "cosine",
            "warmup": 0.0,
            "final": 0.0,
            "milestones": (2 / 3, 8 / 9),
            "factor": 0.1,
            # Patterns of parameters to train (all if empty), and to reinitialise first.
            "trainable": config_dict.placeholder(tuple),
            "reinit": config_dict.placeholder(tuple),
            # Start from these parameters of the previous stage: last | best.
            "init_from": "last",
            # Batch norm and dropout of the encoder: train | eval.
            "encoder_mode": "train",
            # Views of each image: 1 | 2; empty means data.views; 0 means two if images
            # are augmented, otherwise data.views.
            "views": config_dict.placeholder(int),
            # How often rows are drawn; empty means data.sampling.
            "sampling": config_dict.placeholder(str),
            # Each network (model.members) trains on a bag of its own: as many rows,
            # drawn once, with replacement, as `sampling` says.
            "bags": False,
            # Options of dirjax.resampling, set by presets: the stage trains the head
            # alone, on resampled features of the training rows.
            "resample": ConfigDict(),
            # A preset may add evaluate=False: no validation during the stage. Objective
            # of this stage; empty means config.objective.
            "objective": ConfigDict(),
        }
    )


def mlp(**changes):
    """The fields of the table model; see dirjax/models/mlp.py."""
    fields = {
        # Empty: 256, or less for a table of very many columns.
        "width": config_dict.placeholder(int),
        "depth": 3,
        # Embedding of numeric columns: periodic | piecewise (needs data.quantiles) |
        # none | auto, which is periodic up to 256 columns and none for more.
        "embedding": "auto",
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
    # Kind of data: table (CSV, Parquet) | arrays (NPZ) | images (folder and table) |
    # tfds (TensorFlow Datasets) | digits (mnist5k) | scenes (synthetic_depth) | pairs
    # (NPZ of embeddings) | text (pairs of sentences), both for stsb_dir | nyud2 (images
    # with depth, for nyud2_dir, which also has the fields data.depth and
    # data.augment_dense).
    data.kind = "table"
    # Name in reports; your own data sets are named after their file.
    data.name = config_dict.placeholder(str)
    # File or folder; data sets that ship with dirjax need none.
    data.path = config_dict.placeholder(str)
    # Column or array of the label, and its unit. In tables, several columns for one
    # model with a head for each, such as height,weight; names with a comma in quotation
    # marks. Then unit and label_scale may list one for each, too.
    data.label = config_dict.placeholder(str)
    data.unit = ""
    # The scale on which the model learns the label, and of the bins: linear | log |
    # log1p | yeo_johnson | quantile, with an offset before a logarithm. Metrics and
    # predictions stay in label units, and are not below `label_low`.
    data.label_scale = "linear"
    data.label_offset = 0.0
    data.label_low = config_dict.placeholder(float)
    # Column of the split (train, val, test). Without it, a balanced split is made: from
    # a bin with n rows, min(n // split_divisor, split_cap) go to val and as many to
    # test.
    data.split = "split"
    data.split_divisor = 5
    data.split_cap = 30
    # Stress tests, which take rows from training alone: bins without any, at both ends
    # (extrapolation), in the middle (interpolation), or drawn (blind_spot), by their
    # share of the bins; and thinning to a ratio of the fullest to the emptiest bin.
    data.unseen = config_dict.placeholder(str)
    data.unseen_share = 0.2
    data.imbalance = config_dict.placeholder(float)
    # Column of weights in the training loss.
    data.weight = config_dict.placeholder(str)
    # Label bins: width (empty: labels.auto_width), and range (low, high) (empty: that
    # of the data). Labels outside the range: error | end (count in the end bins).
    # Of several labels, `bin_widths` lists the widths.
    data.bin_width = config_dict.placeholder(float)
    data.bin_widths = config_dict.placeholder(tuple)
    data.label_range = config_dict.placeholder(tuple)
    data.outside = "error"
    # Type of bin edges, float64 | float32; STS-B-DIR is binned in float32.
    data.bin_dtype = "float64"
    # Shots: more training examples than `many`, fewer than `few`; or fixed lists of
    # bins, as in some benchmarks: {"many": (0, 1), "median": (...), "few": (...)}.
    data.many = 100
    data.few = 20
    data.shot_lists = ConfigDict()
    # Number of training rows to use; 0 means all.
    data.limit = 0
    # Unusable rows (no label, text in a number, unreadable image): error | skip.
    data.on_bad = "error"
    # Seed of splits and of generated labels; not of training.
    data.seed = 0
    # Global batch size, over all devices and processes; empty: the largest power of two
    # up to an eighth of the training rows, within 16 to 256.
    data.batch_size = config_dict.placeholder(int)
    data.batch_size = 256
    # Augmentation of training images. `flip`: horizontal flip with probability 1/2.
    # `crop`: random crop after padding by this many pixels (published: 16 of 224; 0 for
    # none), with `padding` zero | edge. `zoom`: random resized crop of at least this
    # share of the area, aspect ratio 3:4 to 4:3 (published: 0.2; 0 for none). `jitter`
    # changes brightness, contrast and saturation by up to this factor (0.4), `hue`
    # rotates colours by up to this share of the circle (0.1), both for `jitter_share`
    # of the images; `grey`: share of images converted to grey (0.2).
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
    # Views of each image in a batch, each augmented independently: 1 | 2. With two, the
    # model sees twice as many rows.
    data.views = 1
    # Resampling of training rows (tables), set by presets: their options are those of
    # dirjax.resampling.smoter and smogn.
    data.resample = ConfigDict()
    # How often rows are drawn: none (each once an epoch) | inverse | sqrt_inverse, in
    # proportion to (the root of) the inverse number of rows in their bin. A correction
    # knows.
    data.sampling = "none"
    # array (numpy, without the seconds that TensorFlow takes to start) | tf (tf.data:
    # ahead of the step, in its own threads; the default for images, text and depth):
    # the same batches. With data that fit into memory, array is as fast.
    data.reader = "array"
    # Tables: column types (inferred if not named), columns to drop, markers of missing
    # values, scaling standard | robust, number of pieces of the piecewise-linear
    # encoding, and the largest number of distinct integers for which a numeric column
    # also enters as a category.
    data.numeric = config_dict.placeholder(tuple)
    data.categorical = config_dict.placeholder(tuple)
    data.drop = config_dict.placeholder(tuple)
    data.missing = config_dict.placeholder(tuple)
    # How numbers and dates are written, found where that is clear: the decimal mark,
    # the mark between thousands, and dmy | mdy. Without `dates`, dates are left out.
    # The sheet of an Excel workbook.
    data.decimal = config_dict.placeholder(str)
    data.thousands = config_dict.placeholder(str)
    data.date_order = config_dict.placeholder(str)
    data.dates = True
    data.sheet = config_dict.placeholder(str)
    # Column whose rows stay on one side of the balanced split: a person, site, series.
    data.group = config_dict.placeholder(str)
    data.scaling = "robust"
    data.quantiles = 0
    data.both = 0
    # Images: column of paths (tfds: image feature; arrays: array of inputs; pairs: file
    # in the folder), height and width to resize to, channels 1 | 3 | 0 (as in the
    # images).
    data.input = ""
    data.image_size = 64
    data.channels = 0
    # Image files: `fit` to a square of image_size, stretch (both sides) | cover (the
    # shorter side, then a centre crop); side of the crop that the model sees, the
    # centre in evaluation (0: no crop); mean and deviation for standardising pixels in
    # 0..1, numbers or one per channel (empty: those of the training images); and the
    # limit in GiB for keeping decoded images in memory; larger sets are decoded on
    # access.
    data.fit = "stretch"
    # The colour under transparent pixels, by name or #rrggbb; or alpha: the alpha
    # channel is the picture. And the range (low, high) of pixels of more than 8 bits
    # and of floats, also in arrays (empty: found over the data set, see
    # dirjax/data/formats/levels.py).
    data.ground = "white"
    data.pixel_range = config_dict.placeholder(tuple)
    # Arrays: whether the channels of images come before height and width (empty: found
    # from the shape), and the array that tells which labels of pixels count, if there.
    data.channels_first = config_dict.placeholder(bool)
    data.mask = "mask"
    data.view_size = 0
    data.mean_and_std = config_dict.placeholder(tuple)
    data.memory = 4.0
    # tfds: download and prepare the data set first.
    data.download = False
    # Skew of the rotation (digits) or the distance (scenes).
    data.skew = 0.0

    config.model = model = ConfigDict()
    model.name = "mlp"
    # linear (one value) | dense (one value per pixel) | experts (one per group; needs
    # `config.groups`, set by presets that use groups) | histogram | gaussian | quantile
    # (a distribution per row or pixel; need `config.support`, set by their presets).
    model.head = "linear"
    # Extra keyword arguments of the head.
    model.head_options = ConfigDict()
    # Dtype of the encoder's computation, float32 | bfloat16. SSIR always trains in
    # float32, since its noise is below the spacing of bfloat16.
    model.dtype = "float32"
    # Networks that are trained together in one program, with the seeds `seed`,
    # `seed + 1` and so on; the model predicts the mean of their distributions.
    model.members = 1
    # File of encoder weights, a ResNet-18, 34 or 50 of torchvision or timm:
    # .safetensors or .pth; see dirjax/models/convert.py.
    model.pretrained = config_dict.placeholder(str)
    # standard: the head learns labels standardised by training mean and deviation;
    # deviation: labels divided by the deviation, so that features of labels near 0 may
    # be short; range: labels relative to data.label_range (pairs of sentences); none:
    # raw labels. Losses are always in label units.
    model.label_scaling = "standard"
    # Extra keyword arguments of the encoder.
    model.encoder = ConfigDict()

    # Warm start: directory of a finished run whose best parameters the first stage
    # starts from. Data and model must match, except for parameters that the stage
    # reinitialises.
    config.init_from = config_dict.placeholder(str)

    config.stages = ("main",)
    config.stage = ConfigDict({"main": stage()})

    config.train = train = ConfigDict()
    # Decay of the moving average of parameters for evaluation; 0 means none.
    train.average_decay = 0.0
    # Steps per call of the compiled program.
    train.chunk = 1
    # Early stopping: evaluations without a better one after which the last stage ends;
    # 0 means none.
    train.patience = 0

    config.eval = evaluation = ConfigDict()
    # In epochs; empty means fifty times per run.
    evaluation.every = config_dict.placeholder(float)
    evaluation.every = 1.0
    evaluation.batch_size = 1024
    # Replaces an error of exactly zero in the geometric mean; 0 allows a mean of 0.
    evaluation.gm_epsilon = 1e-10
    # Whether to write features.npz at the end: variances and norms of features by bin.
    evaluation.features = False

    # In epochs; empty means ten times per run.
    config.checkpoint = ConfigDict({"every": config_dict.placeholder(float)})
    config.checkpoint.every = 10.0
    config.log = ConfigDict({"every": 50})  # in steps
    # Writers besides metrics.jsonl and the terminal: tensorboard, wandb, mlflow.
    config.writers = config_dict.placeholder(tuple)
    # Checkpoint selection: the smallest validation metric of a shot group. With
    # split="test" the test split selects, as in the public depth code; results are then
    # optimistic, and the report says so.
    config.select = ConfigDict({"metric": "mae", "shot": "all", "split": "val"})
    # The label distribution that predictions are for: train, as trained | uniform | the
    # path of a file with labels. A finished model is corrected for it
    # (docs/any-prior.md) with strength `tau`, from 0 to 1 (empty: for uniform, the one
    # with the smallest error by `select` on the validation split; for a file 1), and
    # predicts the mean | median | mode of the corrected distribution
    # (`decode`; empty: the mean around predictions that are numbers, the median of
    # predicted distributions). The distribution of training labels is smoothed over
    # `taps` bins, each of which holds at least `floor` labels (of maps: images). `law`
    # laplace | gaussian | student | empirical and `dispersion` loglinear | constant |
    # binned describe residuals on the validation split, for models that predict
    # numbers.
    config.prior = ConfigDict(
        {
            "target": "train",
            "tau": config_dict.placeholder(float),
            "decode": config_dict.placeholder(str),
            "taps": 5,
            "floor": 0.5,
            "law": "laplace",
            "dispersion": "loglinear",
        }
    )
    # The loss that replaces `BASE` in a preset: l1 | mse | huber; options of the same
    # names change it. `maps`: whether labels are one per pixel. `changes`: fields of
    # wrappers and terms, and of `resample`, that the data set overrides.
    config.base = ConfigDict({"term": "l1", "beta": 1.0, "maps": False, "changes": {}})
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
    """All fields, set for small images of unknown number."""
    config = get_config()
    config.data.kind = "images"
    config.data.reader = "tf"
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
    """All fields, set for small images with a depth per pixel."""
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
    config.base.maps = True
    # As published for depth: there are many pixels, so counts are not clipped.
    config.base.changes = ConfigDict(
        {
            "reweight": {"clip": None},
            "lds": {"clip": None, "padding": "edge"},
            "fds": {"clip": (0.2, 5.0), "whole_rows": True, "alias": False},
            "ssir": {"epsilon": 5e-4},
            "balanced_mse": {"padding": "edge"},
        }
    )
    return config


def dense():
    """All fields, set for small images with a label for each pixel."""
    config = depth()
    config.data.unit = ""
    config.data.bin_width = None
    # Labels are as large as the images; those of `depth` have half their size.
    config.model.encoder.stride = 1
    return config


def by_option(arg, **kinds):
    """The fields for a table, or those of an option.

    Args:
      arg: `METHOD[,OPTION...]`.
      **kinds: option -> function that makes the fields.

    Returns:
      The config, and the argument without the option.
    """
    name, *options = arg.split(",")
    for option, make in kinds.items():
        if option in options:
            options.remove(option)
            return make(), ",".join([name, *options])
    return table(), arg


def finish(config, arg, presets=None):
    """Applies `METHOD[,OPTION...]` and returns the config.

    Args:
      config: the config of the data set. Other stages of the preset are copies of
        `config.stage.main`, with a length relative to it from `methods.SHARES` that
        follows later changes; a data set may override `config.stage.head` and
        `config.groups`.
      arg: the part after the colon, see `dirjax.config.compose`.
      presets: your own presets, by name, in addition to `methods.PRESETS`.

    Raises:
      ValueError: for an unknown method or option.
    """
    return compose.finish(config, arg, methods, presets or {})
