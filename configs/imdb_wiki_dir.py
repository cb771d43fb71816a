"""Age from faces: IMDB-WIKI-DIR, the protocol of Yang et al. 2021. For research only.

    python -m dirjax.main --config configs/imdb_wiki_dir.py:sqinv_lds \
        --config.data.path=FOLDER --workdir runs/imdb

FOLDER contains imdb_wiki.csv (github.com/YyzHarry/imbalanced-regression,
imdb-wiki-dir/data) and the folders imdb_crop and wiki_crop of IMDB-WIKI's face crops.
191,509 training images, ages 0 to 186, some of them wrong; ages above 120 share the
last bin. 11,022 images each in val and test, ages 0 to 120. Images, model and training
are those of `configs/agedb_dir.py`, as are the options `resnet18` and `protocol2`
(named imdb_wiki_dir_p2 here; no paper reports it), and `python -m dirjax.data build`.

Decoded images take 30 GiB, so by default all cores decode them ahead of the training
step. With enough memory, decode them only once: --config.data.memory=40.
"""

from dirjax.configs import agedb_dir


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]; `resnet18` and `protocol2` are options."""
    config = agedb_dir.faces("imdb_wiki_dir")
    config.data.outside = "end"
    config.data.reader = "tf"
    # Published: one bin per year from 0 to 99.
    config.base.changes.fds = {"last_bin": 99}
    return agedb_dir.finish(config, arg)
