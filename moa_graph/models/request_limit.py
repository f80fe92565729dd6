"""How many requests a model takes at once, learnt from its replies.

A 429 can have three causes, and each needs another answer:

* Too much at once by far: a large share of the replies is refused. The limit is halved, once for each burst.
* One or two too many at once: the limit falls by the number of refused requests, and does not grow for ten cool-downs.
  So trying a higher limit costs about a tenth of the time.
* Chance, or a limit that counts something else, such as tokens a minute: a lower limit changes nothing. After three
  refusals in a row that it did not prevent, the limit is what it was.
"""

from __future__ import annotations

__all__ = ["LONGEST_COOL_DOWN", "RequestLimit"]

FLOOR = 4
"""Fewer than a small round at once would make every answer late; below that, cool-downs do the limiting."""
LONGEST_COOL_DOWN = 60.0
"""Seconds. A provider that asks for more is asked again after this."""
TOLERATED = 0.25
"""Share of 429s among recent replies above which too much is sent by far."""
_MEMORY = 64
"""Replies over which the share of 429s is taken, about."""
_GROWTH = 0.25
"""Growth per success up to the limit that worked before the last cut; beyond that, one request per round."""
_CARE = 10.0
"""Cool-downs for which a limit that led to a refusal is not tried again."""
_LONGEST_CARE = 60.0
"""Seconds that this lasts at most."""
_FUTILE = 3
"""Refusals in a row, each within the care for the one before, after which a lower limit has not helped."""


class RequestLimit:
    """The limit of requests at once of one model. The caller passes the clock and holds a lock.

    Args:
        start: Requests at once before the provider has said anything.
        ceiling: The most requests at once.

    Attributes:
        value: Requests allowed at once now.
        epoch: Grows with each cut and each cool-down. A reply says something about the limit under which its request
            was sent, and so only when no epoch has begun since then.
        busiest: The most requests that were under way at once since the last halving. The caller counts them.
    """

    def __init__(self, start: int, ceiling: int) -> None:
        self.epoch = 0
        self.busiest = 0
        self._floor = float(min(FLOOR, start, ceiling))
        self._limit = float(min(start, ceiling))
        self.value = int(self._limit)
        self._ceiling = ceiling
        self._proven = 0.0
        self._share = 0.0
        self._seen = 0
        self._early = 0
        self._strikes = 0
        self._grow_at = 0.0
        self._repeats = 0
        self._before = (0.0, 0.0)
        self._lowered = -1

    def cap(self, ceiling: int) -> None:
        """Never allow more than `ceiling` requests at once from now on."""
        self._ceiling = min(self._ceiling, ceiling)
        self._limit = min(self._limit, self._ceiling)
        self._floor = min(self._floor, self._ceiling)
        self.value = int(self._limit)

    def succeeded(self, epoch: int, running: int, now: float) -> bool:
        """Take note of a reply.

        Args:
            epoch: When its request was sent.
            running: Requests under way, this one included.
            now: Seconds of a clock.

        Returns:
            Whether the reply says something about the present limit.
        """
        self._count(0.0)
        if epoch != self.epoch:
            return False
        self._strikes = 0
        if running * 2 >= self.value:
            careful = self._repeats < _FUTILE and now < self._grow_at
            step = _GROWTH if self._limit < self._proven else 0.0 if careful else 1.0 / self._limit
            self._limit = min(self._ceiling, self._limit + step)
            self.value = int(self._limit)
        return True

    def refused(self, epoch: int, retry_after: float | None, now: float, running: int) -> float:
        """Take note of a 429 and return for how many seconds nothing is to be sent.

        Args:
            epoch: When its request was sent.
            retry_after: Seconds of its Retry-After; None when it had none.
            now: Seconds of a clock.
            running: Requests under way, this one included.
        """
        self._count(1.0)
        crowded, counts = self._share > TOLERATED and self._many(running - 1), epoch == self.epoch
        used = min(self._limit, self.busiest)
        if crowded and counts:
            # Only once per burst: the rest was sent under the same limit.
            self._strikes += 1
            self._proven, self._limit = used * (1 - TOLERATED), max(self._floor, used / 2)
            self.busiest = 0
        wait = min(15.0, 0.25 * 2.0 ** min(self._strikes, 10)) if crowded else 0.0
        wait = min(wait if retry_after is None else retry_after, LONGEST_COOL_DOWN)
        if wait > 0 and not crowded:
            self._lower(used, now) if counts else self._lower_further()
        if counts and wait > 0 and self._repeats < _FUTILE:
            self._grow_at = now + wait + min(_CARE * wait, _LONGEST_CARE)
        self.epoch += counts and (crowded or wait > 0)
        self.value = int(self._limit)
        return wait

    def _count(self, refused: float) -> None:
        if self._seen < _MEMORY:
            self._seen, self._early = self._seen + 1, self._early + int(refused)
        # The first replies count for more, so that a burst of refusals at the very start is seen.
        self._share += (refused - self._share) / max(self._seen, 16)

    def _many(self, others: int) -> bool:
        """Return whether refusals are many among the first requests, those under way included.

        A refusal comes at once and an answer later. Without this, a few chance refusals before the first answer would
        look like too much at once.
        """
        return self._seen == _MEMORY or self._early > TOLERATED * (self._seen + others)

    def _lower(self, used: float, now: float) -> None:
        """Allow one request less for the first refusal of a burst, unless earlier cuts have not helped."""
        alone = now >= self._grow_at
        self._repeats = 0 if alone else self._repeats + 1
        if alone:
            self._before = (self._limit, self._proven)
        if used * 2 < self._limit:
            # So few at once are hardly too many. When it goes on, they may be.
            if self._repeats == _FUTILE - 1:
                self._repeats, self._limit, self._proven = 0, max(self._floor, used), 0.0
        elif self._repeats < _FUTILE:
            self._proven = self._limit = max(self._floor, used - 1)
            self._lowered = self.epoch + 1
        else:
            self._limit, self._proven = max(self._limit, self._before[0]), max(self._proven, self._before[1])

    def _lower_further(self) -> None:
        """Allow one request less for a further refusal of a burst."""
        if self.epoch == self._lowered and self._repeats < _FUTILE:
            self._proven = self._limit = max(self._floor, self._limit - 1)
