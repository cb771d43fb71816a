"""IMDB-WIKI-DIR with ResNet-50: the Frobenius-norm paper (ICLR 2026 submission).

    python -m dirjax.main --config configs/recipes/frobenius_imdb_wiki.py:frobenius \
        --config.data.path=FOLDER --workdir runs/frobenius

The models of `frobenius_agedb.py`. Their results on this data set are lost. Training
time, estimated from 800 images per second on one A100 in TF32, not measured: 7 hours
each.
"""

from dirjax.configs import imdb_wiki_dir
from dirjax.configs.recipes import norms, rows

ROWS = norms.rows(100.0)


def get_config(arg="frobenius"):
    """The config of ROW[,OPTION...]."""
    return rows.build(imdb_wiki_dir, ROWS, arg)
