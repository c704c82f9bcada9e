"""The version of dvbench."""

__version__ = "0.2.0"
