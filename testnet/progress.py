"""A bar for long work: how much is done, at what rate, and how long it will take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(console: Console, total: int, known: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Yield what is to be told how many are done, of them `known` before, and a word or two beside.

    Silent where there is no terminal.
    """
    if not console.is_terminal:
        yield lambda _done, _text: None
        return
    bar = Progress(
        BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(), console=console
    )
    began = time.monotonic()
    with bar:
        task = bar.add_task("", total=total, completed=known)

        def told(done: int, text: str) -> None:
            rate = (done - known) / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, description=f"{rate:.1f}/s · {text}")

        yield told
