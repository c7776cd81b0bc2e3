"""Seeds that nobody has seen before: another version of the code has others.

The same source gives the same seeds, so a failure is seen again on every machine until the source is changed; its
report says how to see it after that.
"""

from testnet.sweep.results import code_hash

_VERSIONS, _EACH, _PURPOSE = 100_000, 10_000, 1_000


def fresh_seeds(purpose: int, count: int) -> range:
    """`count` seeds (up to a thousand) of this version of the code; another purpose (0 to 9) has others."""
    first = (1 + int(code_hash(), 16) % _VERSIONS) * _EACH + purpose * _PURPOSE
    return range(first, first + count)
