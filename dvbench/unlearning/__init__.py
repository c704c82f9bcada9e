"""How unlearning is carried out: the contract of methods, and engines for models of points and of texts."""

from dvbench.unlearning.contract import UnlearningMethod

__all__ = ["UnlearningMethod"]
