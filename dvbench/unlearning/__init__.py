"""How unlearning is carried out: the contract of methods, an engine for stacks of models and one for language models."""

from dvbench.unlearning.contract import UnlearningMethod

__all__ = ["UnlearningMethod"]
