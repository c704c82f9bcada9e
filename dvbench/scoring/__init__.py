"""Scoring: what a task is, and what tasks share: retraining, unlearned models, correlation, detection."""
