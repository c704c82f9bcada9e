"""How unlearning is carried out: one contract, an engine for stacks of models and one for language models."""
