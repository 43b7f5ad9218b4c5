"""Everything that docs/results.md shows: ranks, ablations and baselines on each data set, and the page itself."""
