"""dvbench: a reproducible benchmark for data valuation, built on OpenDataVal."""

from dvbench.version import __version__ as __version__
