"""The fields of a study, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dirjax import errors
from dirjax.sweeping import jobs

FIELDS = (
    *("configs", "methods", "seeds", "options", "data", "fields", "grid", "base"),
    *("method_fields", "method_grids", "arguments", "starts", "together", "noise"),
    *("config_fields", "left_out", "tuning"),
)
# Lists of pairs and triples: field -> what an item holds, and one as it is typed.
_ITEMS = {
    "grid": (("field", "values"), "('data.bin_width',(5.0,10.0))"),
    "method_grids": (("method", "grid"), "('lds',(('data.many',(20,50)),))"),
    "fields": (("field", "value"), "('train.patience',10)"),
    "arguments": (("method", "argument"), "('small','lds,smoke')"),
    "starts": (("method", "method that it starts from"), "('tune','vanilla')"),
    "method_fields": (("method", "field", "value"), "('lds','data.many',20)"),
    "left_out": (("config", "method"), "('configs/abalone.py','lds')"),
    "config_fields": (
        ("config", "field", "value"),
        "('configs/abalone.py','data.many',20)",
    ),
}


def check(study: Mapping[str, Any]) -> None:
    """Checks the fields of a study and what its lists hold, since they can be typed.

    Raises:
      InputError: for a missing field, an empty list, or an item of another form.
    """
    missing = set(FIELDS) - set(study)
    if missing:
        raise errors.InputError(
            f"the config is not a study, it lacks {', '.join(sorted(missing))}. Give "
            "one of configs/studies, or start from configs/studies/common.py."
        )
    for name, example in (("configs", "csv.py"), ("methods", "lds"), ("seeds", "0,1")):
        said = f"a list, as in --config.{name}={example}"
        errors.require_field(bool(study[name]), name, said, study[name])
    for name, (what, _) in _ITEMS.items():
        for item in study[name]:
            if not _is_list(item) or len(item) != len(what):
                raise _wrong_item(name, item)
    grids = [("grid", study["grid"])]
    grids += [("method_grids", grid) for _, grid in study["method_grids"]]
    for name, grid in grids:
        for item in grid if _is_list(grid) else [grid]:
            if not _is_list(item) or len(item) != 2 or not _is_list(item[1]):
                raise _wrong_item(name, item)
    for name in ("config_fields", "left_out"):
        for config, *_ in study[name]:
            said = f"about one of {', '.join(study['configs'])}"
            errors.require_field(config in study["configs"], name, said, config)
    methods = list(study["methods"])
    for method in methods:
        ok = "/" not in method and methods.count(method) == 1
        errors.require_field(ok, "methods", "distinct names without a slash", method)
    folders = [jobs.name_of(config) for config in study["configs"]]
    for config, name in zip(study["configs"], folders, strict=True):
        said = f"files of distinct names, since runs are put into {name}"
        errors.require_field(folders.count(name) == 1, "configs", said, config)
    for name, other in study["starts"]:
        ok = other in methods and name in methods[methods.index(other) :]
        said = f"a method of config.methods before {name}, from which that starts"
        errors.require_field(ok, "starts", said, other)
    base = study["base"]
    grid = jobs.grids(study).get(base, ())
    ok = study["tuning"] or all(len(values) == 1 for _, values in grid)
    said = "empty, since it has a grid itself (--config.base=)"
    errors.require_field(bool(ok), "base", said, base)
    both = sorted(set(study["seeds"]) & set(study["tuning"]))
    said = "other seeds than config.seeds"
    errors.require_field(not both, "tuning", said, both)


def _is_list(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _wrong_item(name: str, item: Any) -> errors.InputError:
    """What an item of a list should be."""
    what, typed = _ITEMS[name]
    return errors.InputError(
        f"config.{name} must be a list of ({', '.join(what)}), got "
        f'{item!r} in it. Type it as "--config.{name}=({typed},)".'
    )
