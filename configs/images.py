"""Your own images: a folder, and a CSV with the columns path, label and split.

    python -m dirjax.main --config configs/images.py:sqinv_lds --workdir runs/mine \
        --config.data.path=folder

The CSV is in the folder, or `data.path` is the CSV; paths are relative to its folder.
Parquet files with images inside, and image folders of Hugging Face, are read as well.
Images are grey or RGB, of any size, depth and format that Pillow reads, and are
resized to `data.image_size`. Without a column `split`, a balanced split is made. The
model is a small ResNet; `--config.model.name=resnet18` is a larger one. See
docs/own-data.md.
"""

from dirjax.configs import common


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]."""
    config = common.images()
    config.data.label = "label"
    config.data.input = "path"
    return common.finish(config, arg)
