"""Any data set of TensorFlow Datasets: images, or a table of scalars.

    python -m dirjax.main --config configs/tfds.py:sqinv_lds,images \
        --workdir runs/mine --config.data.name=NAME --config.data.label=FEATURE

`data.path` is the `data_dir` of TensorFlow Datasets, if not the default one. The data
set must be prepared; `--config.data.download=true` does this first. Those that `python
-m dirjax.data build` makes are read with the config of their benchmark. With the
option `images`, the input is the image feature (`data.input` if there are several);
without it, the scalar features form a table. See docs/own-data.md.
"""

from dirjax.configs import common


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; the option `images` is for images."""
    config, arg = common.by_option(arg, images=common.images)
    config.data.kind = "tfds"
    return common.finish(config, arg)
