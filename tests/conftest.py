"""One thread for every test: on matrices as small as theirs, several threads only wait for each other."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
