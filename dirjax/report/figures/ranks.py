"""Mean ranks of methods over data sets, with their critical difference.

Deviations: methods stand below one another, since there are too many names for the
usual diagram, and a line of half the critical difference to each side takes the place
of its bars: two methods differ where their lines do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax.digits import short
from dirjax.report import ranking
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, Drawn
from dirjax.report.ranking import Ranks
from dirjax.report.tables import Table


@style.styled
def mean_ranks(found: Mapping[str, Ranks]) -> Any:
    """Mean ranks by shot, one panel each, with the order of the first panel.

    Args:
      found: shot -> ranks of the same methods.
    """
    names = list(next(iter(found.values())).mean)
    height = 1.3 + 0.2 * len(names)
    figure, axes = style.figure(1, len(found), height=height, sharey=True)
    for ax, (shot, one) in zip(axes[0], found.items(), strict=True):
        best = min(one.mean.values()) + one.critical
        for place, name in enumerate(names):
            rank = one.mean[name]
            # Those that the best does not beat stand out.
            colour = LIGHT["gain" if rank <= best else "muted"]
            style.whiskers(
                ax, rank, place, one.critical / 2, axis="x", ecolor=colour, capsize=0
            )
            ax.plot(rank, place, "o", markersize=4, color=colour)
        ax.set_title(shot, fontsize=10)
        ax.set_xlabel("mean rank")
        ax.grid(False)
        ax.grid(True, axis="x")
    axes[0, 0].set_yticks(range(len(names)), [style.plain(n) for n in names])
    axes[0, 0].invert_yaxis()
    num = len(next(iter(found.values())).datasets)
    style.headline(figure, f"Mean rank of the error over {num} data sets")
    return figure


def figures(tables: Sequence[Table]) -> Iterator[Drawn]:
    """The figure over data sets, if there are enough of them.

    Args:
      tables: one per data set.
    """
    overall = ranking.of_tables(tables)
    few = ranking.of_tables(tables, shot="few")
    if overall is None:
        return
    found = {"all": overall}
    if few is not None and few.mean.keys() == overall.mean.keys():
        found["few"] = few
    differ = [
        f"{shot}: the critical difference over {len(one.datasets)} data sets is "
        f"{short(one.critical)} ranks (Nemenyi, 5 %), p = {one.p_value:.2g} (Friedman)"
        for shot, one in found.items()
    ]
    lost = (
        f" Not on all data sets, and left out: {', '.join(overall.left_out)}."
        if overall.left_out
        else ""
    )
    best = next(iter(overall.mean))
    yield Drawn(
        mean_ranks(found),
        "ranks",
        "Mean rank by MAE, 1 is best. Two methods differ where their lines do not meet;"
        f" in green, those that the best does not beat. {'; '.join(differ)}.{lost}",
        f"Mean rank of {len(overall.mean)} methods over {len(overall.datasets)} data "
        f"sets; the best is {best}, at {short(overall.mean[best])}.",
    )
