"""A data set of TensorFlow Datasets by name: images, or a table of scalars.

    python -m dirjax.main --config configs/tfds.py:sqinv_lds,images \
        --workdir runs/mine --config.data.name=NAME --config.data.label=FEATURE

`data.path` is the `data_dir` of TensorFlow Datasets if it is not the default one. The
data set has to be prepared (`tfds build`); `--config.data.download=true` does it first.
The option `images` takes the image feature (`data.input` if there are several), without
it all scalar features make a table. See docs/own-data.md.
"""

from dirjax.configs import common


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; the option `images` is for images."""
    config, arg = common.table_or_images(arg)
    config.data.kind = "tfds"
    return common.finish(config, arg)
