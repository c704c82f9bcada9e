"""Tasks: one file each, holding a function named like the file that scores data values."""
