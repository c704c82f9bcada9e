"""Data sets: one file each, with a function of the same name that returns a `dvbench.problems.source.Source`."""
