"""Numbers for scripts: as short as they can be without being rounded twice, here and where they are shown."""

from __future__ import annotations

import math


def short(value: float) -> float | None:
    """Round to nine significant digits; None for NaN and infinities."""
    return float(f"{value:.9g}") if math.isfinite(value) else None
