"""How models are trained: stacks of many copies, one copy, language models, checkpoints, memory."""
