"""Plug-ins: one file a selection strategy; see `dvbench.selecting.contract`."""
