"""What the plugin keeps at a test while it runs."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testnet.virtual import Net
    from testnet.virtual.schedules import Schedule

NET: "pytest.StashKey[Net]" = pytest.StashKey()
"""Its net, for the verdict at its end."""

GIVEN: "pytest.StashKey[tuple[Schedule, ...]]" = pytest.StashKey()
"""What its next net is to play instead of what it is asked for."""

TEARDOWN_ERROR = pytest.StashKey[BaseException]()
"""What the end of a run raised that was followed by others; it is reported in its phase."""
