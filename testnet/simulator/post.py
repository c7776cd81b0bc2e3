"""How a relay hands on the bundles that its courier wants delivered."""

from collections.abc import Callable

Forward = Callable[[bytes], None]
"""Delivers a bundle to the validator that the courier chose."""


class BundlePost:
    """At once and as they are. Byzantine relays replace this."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Pass a bundle to `forward`: zero, one or several times, changed or not."""
        forward(raw)
