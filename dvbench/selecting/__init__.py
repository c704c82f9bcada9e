"""How points are chosen to train on: the contract of selection strategies, and what carries them out."""
