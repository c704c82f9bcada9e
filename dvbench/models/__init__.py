"""Models: one file each, holding a function named like the file that builds a network."""
