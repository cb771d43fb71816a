"""One method of each family on one data set; see docs/results.md.

    python -m dirjax.sweep --config configs/studies/benchmarks.py:stsb_bilstm \
        --workdir runs/stsb

The argument is a data set of `common.py`, or another file in configs/. Methods use the
factors that `ssir.py`, `group.py` and `frobenius.py` list for the data set, which were
best on validation, otherwise their defaults. On depth maps, the methods are the
weighting methods of depth benchmarks and SSIR, without groups and ordered norms.
"""

from dirjax.configs.studies import common, frobenius, group, ssir

METHODS = ("vanilla", "sqinv_lds", "sqinv_lds_fds", "ssir", "group_dir", "frobenius")
# The methods of depth maps.
DENSE = ("vanilla", "inv", "lds", "lds_fds", "ssir", "inv_ssir")


def get_config(dataset="stsb_bilstm"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = DENSE if common.maps(study) else METHODS
    fields = group.tuned(dataset, ("group_dir",))
    fields += frobenius.fields(dataset, ("frobenius",))
    if dataset in ssir.TUNED:
        fields += ssir.tuned(dataset, ("vanilla",))
    study.method_fields = tuple(f for f in fields if f[0] in study.methods)
    study.seeds = study.seeds[:3]
    return study
