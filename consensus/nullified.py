"""The nullified views, and where the gaps between them are.

A leader and its voters ask after every event whether all views down to some parent are nullified. While nothing is
finalized for long these are thousands, so the way down a run of nullified views is remembered: union-find with path
compression (Tarjan 1975), some log n steps an answer.
"""

from primitives.identifiers import View


class NullifiedViews:
    """A growing set of views that knows the highest one that is missing below any."""

    def __init__(self) -> None:
        self._below: dict[View, View] = {}
        """Nullified view -> a lower one, every view between the two being nullified."""

    def add(self, view: View) -> None:
        """Note that a view is nullified."""
        self._below.setdefault(view, View(view - 1))

    def highest_missing(self, view: View) -> View:
        """Find the highest view, not above this one, that is not nullified."""
        missing = view
        while (below := self._below.get(missing)) is not None:
            missing = below
        while view != missing:
            self._below[view], view = missing, self._below[view]
        return missing

    def forget(self, last: View) -> None:
        """Forget the views up to this one: nobody asks about them any more."""
        self._below = {view: below for view, below in self._below.items() if view > last}
