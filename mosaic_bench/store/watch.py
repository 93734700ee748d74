"""Telling a living claim from an abandoned one without trusting any clock but one's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mosaic_bench.store.claim import HEARTBEAT, Claim, Pulse

_LONGEST_LOOK = 2 * HEARTBEAT  # who looks less often than this can't tell whether the owner or itself was asleep


@dataclass
class _Sighting:
    pulse: Pulse
    at: float
    still: float = 0.0


class Watch:
    """Looks at claims again and again; one whose heartbeat stood still for long enough has expired.

    Only time that this process watched counts, on its own monotonic clock: neither another machine's clock nor a jump
    of this one's, nor having been suspended itself, makes a living owner look dead.

    Args:
        expiry: seconds of watching an unchanged heartbeat after which the owner counts as gone.
        clock: seconds that never go back.
    """

    def __init__(self, expiry: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._expiry, self._clock = expiry, clock
        self._seen: dict[Path, _Sighting] = {}
        self.expired: set[str] = set()

    def holder(self, cell: Path) -> Pulse | None:
        """Return who holds a cell; None when it can be taken, which ``Claim.take(cell, watch.expired)`` then does."""
        pulse = Claim.pulse(cell)
        if pulse is None or pulse.dead or pulse.owner in self.expired:
            return None
        now, last = self._clock(), self._seen.get(cell)
        if last is None or last.pulse != pulse:
            self._seen[cell] = _Sighting(pulse, now)
            return pulse
        last.still += min(now - last.at, _LONGEST_LOOK)
        last.at = now
        if last.still < self._expiry:
            return pulse
        self.expired.add(pulse.owner)
        return None
