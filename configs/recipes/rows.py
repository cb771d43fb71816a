"""Rows of a published table as configs."""

from dirjax.config import compose


def build(dataset, rows, arg):
    """The config of a row.

    Args:
      dataset: module of the data set's config.
      rows: name -> (`METHOD[,OPTION...]` of that config, fields as path -> value).
      arg: `ROW[,OPTION...]`.

    Raises:
      ValueError: for an unknown row.
    """
    row, *options = [part.strip() for part in arg.split(",")]
    compose.choose("row", row, rows)
    method, fields = rows[row]
    config = dataset.get_config(",".join([method, *options]))
    config.update_from_flattened_dict(fields)
    return config
