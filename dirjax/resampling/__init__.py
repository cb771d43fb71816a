"""Resampling of rare labels: SMOTER and SMOGN. Host numpy, no JAX, usable alone.

Torgo, Ribeiro, Pfahringer and Branco, "SMOTE for regression", EPIA 2013,
https://doi.org/10.1007/978-3-642-40669-0_33; Branco, Torgo and Ribeiro, "SMOGN: a
pre-processing approach for imbalanced regression", LIDTA 2017,
https://proceedings.mlr.press/v74/branco17a.html. Distances: HEOM of Wilson and
Martinez, "Improved heterogeneous distance functions", JAIR 1997.

Labels are sorted and cut into segments where their relevance crosses a threshold. Each
segment is brought to a size: a larger one loses rows at random, a smaller one keeps its
rows and gains synthetic ones. A synthetic row lies between a row (its seed) and one of
its nearest neighbours in the segment, and its label between theirs, by distance
(SMOTER). SMOGN does so only if the neighbour is nearer than half the median distance of
the segment's rows from the seed; otherwise it adds a little Gaussian noise to the seed.

**Deviations**: from the papers, `steps="column"` is SMOTER as printed (each column has
its own share of the way); the default takes one share for a row, as SMOGN and the
packages do. Seeds take turns, so that each makes the same number of rows, plus or minus
one. Numbers are divided by their range over all rows, not over the segment; with
`distance="euclidean"` they are not divided at all, as in the SMOGN package for tables
of numbers. The median distance in a segment of more than 1,023 rows is that from 1,023
of them, drawn at random. From the packages (smogn 0.1.2, resreg 0.2, UBL): the
distances behind a label are added up over columns (smogn and UBL keep that of the last
column only), equal rows give the mean of both labels, rows are never taken from other
segments when one loses rows, originals stay where a segment grows, and a column or
label without negative values stays so (smogn: one with a positive value). Categories of
a noisy row are drawn with their frequencies in the segment.
"""

from dirjax.resampling.resample import Resampled, smogn, smoter

__all__ = ["Resampled", "smogn", "smoter"]
