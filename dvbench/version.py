"""The version of dvbench."""

__version__ = "0.1.0"
