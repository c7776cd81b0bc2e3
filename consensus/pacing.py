"""When to propose, when to give up, when to say things again. Integer milliseconds of the monotonic clock.

A leader is *expected* to propose once there is a reason to, and `min_block_interval` after the last block. Reasons
are work of our own, `idle_interval` without a block, and a certified block that was not finalized for one and a half
view timeouts, its finalize votes said again meanwhile (a descendant finalizes it). The leader proposes at its
expected time, everyone's timers run from theirs: a leader that waits because there is nothing to do is not taken for
a crashed one.
"""

from dataclasses import dataclass

from primitives.errors import Refused

_MAX_EXPONENT = 64
"""Any growth above 1 % reaches any cap in fewer steps."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Tunable numbers of consensus; all validators of a shard use the same. Milliseconds unless said otherwise."""

    base_timeout_ms: int = 1_000
    """From a leader's expected time to giving the view up when its block is not certified: three message delays,
    so this tolerates delays of a third of a second before timeouts begin to grow."""
    growth_percent: int = 150
    """Each view without finalization makes the next timeout this much of the last."""
    max_timeout_ms: int = 4_000
    """Growth ends here: recovery after a long partition takes a few of these."""
    min_block_interval_ms: int = 100
    """A leader does not propose more often: bounds the fixed cost of blocks when traffic is thin."""
    idle_interval_ms: int = 10_000
    """An empty block after so long without one, so that block time advances."""
    allowed_drift_ms: int = 2_000
    """How far ahead of our wall clock a block's time may be."""
    retention_views: int = 64
    """Votes, certificates and evidence of so many views below the last finalization are kept."""
    fetch_retry_ms: int = 500
    """An unanswered request goes to the next peer after this."""
    relay_delay_ms: int = 250
    """A peer not seen in our view by then is sent the certificate that opens it."""

    def __post_init__(self) -> None:
        positive = (self.base_timeout_ms, self.min_block_interval_ms, self.idle_interval_ms, self.fetch_retry_ms)
        if min(positive) <= 0 or self.max_timeout_ms < self.base_timeout_ms or self.growth_percent < 100:
            raise Refused("bad_rules", "intervals must be positive, the largest timeout and growth not below the base")
        if min(self.allowed_drift_ms, self.relay_delay_ms) < 0 or self.retention_views < 1:
            raise Refused("bad_rules", "drift and relay delay must not be negative, retention at least one view")


class Pacer:
    """The clockwork of one replica. Knows times only, no votes."""

    def __init__(self, rules: Rules, now_ms: int) -> None:
        self.rules = rules
        self.entered_ms = now_ms
        self.last_block_ms = now_ms
        self.has_work = False
        self._last_block_view = 0
        self._work_since_ms = now_ms
        self._views_unfinalized = 0
        self._carried = 0

    def start(self, now_ms: int) -> None:
        """Begin at this time, as if the last block had just been seen."""
        self.entered_ms = self.last_block_ms = now_ms

    def enter_view(self, now_ms: int, views_unfinalized: int) -> None:
        """Note a new view, this many views after the last finalized one (0 when finality keeps up)."""
        self.entered_ms = now_ms
        self._views_unfinalized = views_unfinalized

    def note_block(self, now_ms: int, view: int) -> None:
        """Note the first sign of the block of a view: its proposal, or else its certificate."""
        if view > self._last_block_view:
            self._last_block_view = view
            self.last_block_ms = now_ms

    def note_finalization(self, views_unfinalized: int) -> None:
        """Shrink back one step for each finalization, not at once: delays that grew do not vanish in one view."""
        self._carried = max(0, max(self._carried, self._views_unfinalized) - 1)
        self._views_unfinalized = views_unfinalized

    def change_work(self, now_ms: int, *, has_work: bool) -> None:
        """Note whether the application has something to put into a block."""
        if has_work and not self.has_work:
            self._work_since_ms = now_ms
        self.has_work = has_work

    def timeout_ms(self) -> int:
        """Length of the current view's timeout."""
        timeout = self.rules.base_timeout_ms
        for _ in range(min(max(self._carried, self._views_unfinalized), _MAX_EXPONENT)):
            timeout = timeout * self.rules.growth_percent // 100
        return min(timeout, self.rules.max_timeout_ms)

    def expected_ms(self, *, awaits_finality: bool) -> int:
        """When the leader of the current view is expected to propose."""
        reason = self.last_block_ms + self.rules.idle_interval_ms
        if self.has_work:
            reason = min(reason, self._work_since_ms)
        if awaits_finality:
            reason = min(reason, self.entered_ms + self.timeout_ms() * 3 // 2)
        return max(self.entered_ms, self.last_block_ms + self.rules.min_block_interval_ms, reason)

    def silence_deadline_ms(self, expected_ms: int) -> int:
        """When a leader that has not proposed is given up: two of the timeout's three message delays."""
        return expected_ms + self.timeout_ms() * 2 // 3

    def certification_deadline_ms(self, expected_ms: int, proposed_ms: int) -> int:
        """When a view whose proposal is here, but not certified, is given up."""
        return min(expected_ms, proposed_ms) + self.timeout_ms()
