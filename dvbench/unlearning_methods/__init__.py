"""Unlearning methods: one file each, holding a class named like the file."""
