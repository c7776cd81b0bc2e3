"""Token buckets: how much one peer or client may ask for in a while."""


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` a second. Times are monotonic seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Take tokens if there are enough."""
        self._refill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def spend(self, amount: float, now: float) -> float:
        """Take tokens, into debt if need be; returns the seconds until the debt is paid off."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)

    def full(self, now: float) -> bool:
        """Whether nothing was taken for so long that this bucket is as good as a new one."""
        self._refill(now)
        return self._tokens >= self._burst
