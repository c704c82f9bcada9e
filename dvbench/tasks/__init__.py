"""Tasks: each file holds one function of the same name that scores data values; see `dvbench.scoring.contract`."""
