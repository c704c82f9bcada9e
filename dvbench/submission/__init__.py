"""Packs results of an evaluator for others, reads what others packed, and computes again what they claim."""
