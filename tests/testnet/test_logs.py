"""How log lines read for people."""

import pytest

from testnet.logs import readable


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            '{"http": ["127.0.0.1", 80], "links": 0, "event": "listening", "timestamp": "2026-11-21T16:30:15.845615Z"}',
            "16:30:15.845  listening  http=127.0.0.1:80  links=0",
        ),
        (
            '{"error": "it is mute", "event": "lost", "level": "warning", "timestamp": "2026-11-21T16:30:15.845Z"}',
            '16:30:15.845  warning: lost  error="it is mute"',
        ),
        (
            '{"at": 1795278615.822, "event": "running", "expected": false, "node": {"name": "s0/v0", "signal": null}}',
            "16:30:15.822  running  expected=false  node=name:s0/v0",
        ),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('["not", "a", "record"]', '["not", "a", "record"]'),
        ("12", "12"),
    ],
)
def test_a_record_reads_as_time_event_and_details_and_anything_else_as_it_is(line: str, shown: str) -> None:
    assert readable(line) == shown


def test_nothing_in_a_record_reaches_the_terminal_unescaped() -> None:
    line = '{"event": "connected", "peer": "\\u001b[31mred", "timestamp": ""}'
    assert "\x1b" not in readable(line)
