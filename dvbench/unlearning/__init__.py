"""Unlearning methods: one file each, holding a class named like the file, and the engine that carries them out.

An unlearning method takes a forget set out of a trained model. It may look at the model, the forget set and the
reachable set; the retain set may be out of reach, and the reachable set stands in for it.
"""
