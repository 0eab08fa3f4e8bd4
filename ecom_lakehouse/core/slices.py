"""What a transform must know about the slice it works on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SliceStamp:
    """The slice's id, the UTC hour it was planned for (its partition), and when it was planned."""

    slice_id: int
    hour: datetime
    planned_at: datetime
