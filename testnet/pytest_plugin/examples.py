"""Tests of Hypothesis: every example begins with the net as the fixtures left it.

Hypothesis calls a test function many times with the same fixtures, and refuses function-scoped ones because nobody
resets them. Here somebody does, so for fixtures that rest on `net` the health check is answered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.errors import FailedHealthCheck

from testnet.virtual import Net

_SETTINGS = "_hypothesis_internal_use_settings"
"""Where Hypothesis keeps a test's settings; its own plugin writes there too, there is no other way."""


@contextmanager
def anchored(item: pytest.Item, net: Net) -> Iterator[None]:
    """While the test runs, put `net.anchor()` around each of its examples."""
    function = getattr(item.obj, "__func__", item.obj)  # type: ignore[attr-defined]  # functions have it
    handle = item.obj.hypothesis  # type: ignore[attr-defined]  # as above
    inner, given = handle.inner_test, getattr(function, _SETTINGS, None)
    if iscoroutinefunction(inner):
        raise pytest.UsageError("`net` is synchronous: write the test with def, not async def")
    handle.inner_test = _each_anchored(inner, net)
    current: settings = given or settings()
    _refuse_others(item, current)
    checks = {*current.suppress_health_check, HealthCheck.function_scoped_fixture}
    # Examples that deploy and call contracts take as long as they take; a limit that somebody chose is kept.
    deadline = None if current.deadline == settings().deadline else current.deadline
    setattr(function, _SETTINGS, settings(parent=current, suppress_health_check=checks, deadline=deadline))
    try:
        yield
    finally:
        handle.inner_test = inner
        if given is None:
            delattr(function, _SETTINGS)
        else:
            setattr(function, _SETTINGS, given)


def _each_anchored(inner: Callable[..., Any], net: Net) -> Callable[..., Any]:
    anchor = net.anchor()

    @wraps(inner)
    def example(*args: Any, **kwargs: Any) -> Any:
        with anchor:
            result = inner(*args, **kwargs)
            net.check()
            return result

    return example


def _refuse_others(item: pytest.Item, current: settings) -> None:
    """Keep up the health check for function-scoped fixtures that do not rest on `net`: those nobody resets."""
    definitions = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]  # noqa: SLF001 - as Hypothesis reads it

    def rests(name: str) -> bool:
        found = definitions.get(name, ())
        return name == "net" or any(rests(needed) for each in found for needed in each.argnames)

    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for name in item._fixtureinfo.argnames:  # type: ignore[attr-defined]  # noqa: SLF001 - as above
        scopes = {each.scope for each in definitions.get(name, ())}
        allowed = HealthCheck.function_scoped_fixture in current.suppress_health_check
        if "function" in scopes and name not in parameters and not rests(name) and not allowed:
            raise FailedHealthCheck(
                f"{item.nodeid!r} uses a function-scoped fixture {name!r} that does not rest on `net`: it is not reset"
                " between examples. Let it use `net`, make what it holds inside of the test, or suppress"
                " HealthCheck.function_scoped_fixture."
            )
