"""What a provider allows: requests a minute, and requests at once. The caller passes the clock."""

import math
from dataclasses import dataclass, field

BURST_SECONDS = 1.0
"""The requests of so many seconds may arrive together, as where a limit a minute is enforced second by second."""

BUSY_SECONDS = 1.0
"""The Retry-After of a request that is one too many at once."""


@dataclass
class Limits:
    """A token bucket and a count.

    Attributes:
        per_minute: Requests a minute; None for no limit.
        at_once: Requests at once; None for no limit.
    """

    per_minute: float | None = None
    at_once: int | None = None
    _tokens: float = field(default=math.inf, init=False)
    _since: float = field(default=0.0, init=False)

    def refused(self, now: float, in_flight: int) -> float | None:
        """Return the Retry-After of one more request in whole seconds, or None when it is allowed and counted.

        Args:
            now: Seconds of any clock that only goes forward.
            in_flight: Requests under way.
        """
        if self.at_once is not None and in_flight >= self.at_once:
            return BUSY_SECONDS
        if self.per_minute is None:
            return None
        rate = self.per_minute / 60
        self._tokens = min(self._tokens + (now - self._since) * rate, max(rate * BURST_SECONDS, 1.0))
        self._since = now
        if self._tokens < 1.0:
            return float(math.ceil((1.0 - self._tokens) / rate))
        self._tokens -= 1.0
        return None
