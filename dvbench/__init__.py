"""dvbench: a reproducible benchmark for data valuation, built on OpenDataVal."""

__version__ = "0.1.0"
