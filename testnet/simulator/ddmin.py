"""Delta debugging (ddmin, Zeller 2002): the few of many things that a failure needs."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def fewest(items: Sequence[T], fails: Callable[[tuple[T, ...]], bool], may_go_on: Callable[[], bool]) -> tuple[T, ...]:
    """Take away ever smaller parts of what fails until no single item can go, or `may_go_on()` is false.

    `fails` is asked for shorter lists, in their order; the last one of which it was true is what is returned.
    """
    left = tuple(items)
    size = max(1, len(left) // 2)
    while may_go_on():
        start, shorter = 0, False
        while start < len(left) and may_go_on():
            tried = left[:start] + left[start + size :]
            if fails(tried):
                left, shorter = tried, True
            else:
                start += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return left
