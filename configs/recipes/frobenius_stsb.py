"""STS-B-DIR with BiLSTM and GloVe: the Frobenius-norm paper (ICLR 2026 submission).

    python -m dirjax.main --config configs/recipes/frobenius_stsb.py:frobenius \
        --config.data.path=FOLDER --workdir runs/frobenius

The models of `frobenius_agedb.py` with the squared error. Their results on this data
set are lost, and so is their length; here it is that of the benchmark. A review says
that the gain on it is small or none. Training time, estimated from 10 steps per second
on one A100, not measured: 0.3 hours each.
"""

from dirjax.configs import stsb_dir
from dirjax.configs.recipes import norms, rows

ROWS = norms.rows(195.0)


def get_config(arg="frobenius"):
    """The config of ROW[,OPTION...]."""
    return rows.build(stsb_dir, ROWS, arg)
