"""Data sets: one file each, holding a function named like the file that returns a `dvbench.problems.source.Source`."""
