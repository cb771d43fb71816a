"""SMOTER and SMOGN row by row, written from the formulas, in float64."""

import itertools
import math


def heom(a, b, numeric, span):
    """The distance of two rows; `numeric` says which columns are numbers."""
    total = 0.0
    for j, (x, y) in enumerate(zip(a, b, strict=True)):
        if numeric[j]:
            total += (abs(x - y) / span[j]) ** 2
        else:
            total += float(x != y)
    return math.sqrt(total)


def apart(a, b, numeric, span):
    """Distances added up over columns."""
    parts = (
        abs(x - y) / span[j] if numeric[j] else float(x != y)
        for j, (x, y) in enumerate(zip(a, b, strict=True))
    )
    return sum(parts)


def label(a, b, new, y_a, y_b, numeric, span):
    """The label of a new row between two."""
    to_a, to_b = apart(new, a, numeric, span), apart(new, b, numeric, span)
    if to_a + to_b == 0:
        return (y_a + y_b) / 2
    return (to_b * y_a + to_a * y_b) / (to_a + to_b)


def nearest(rows, i, k, numeric, span):
    """The distances of the k nearest other rows."""
    found = [heom(rows[i], r, numeric, span) for j, r in enumerate(rows) if j != i]
    return sorted(found)[:k]


def half_median(rows, i, numeric, span):
    """Half the median distance, the row itself included."""
    found = sorted(heom(rows[i], r, numeric, span) for r in rows)
    middle = len(found) // 2
    if len(found) % 2:
        return found[middle] / 2
    return (found[middle - 1] + found[middle]) / 4


def bumps(labels, phi, threshold):
    """Rows of each segment, by walking along the sorted labels."""
    order = sorted(range(len(labels)), key=lambda i: labels[i])
    parts = [[order[0]]]
    for a, b in itertools.pairwise(order):
        if (phi[a] >= threshold) != (phi[b] >= threshold):
            parts.append([])
        parts[-1].append(b)
    return parts
