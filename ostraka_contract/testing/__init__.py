"""The double: contracts under ordinary CPython, against shards in memory, for breakpoints, coverage and debuggers.

    shards = Shards()
    shop = shards.deploy("shop.py", shard=0)
    ticket = shop.send("buy", "owl", sender=address("alice"))
    shards.settle()
    assert ticket.result() == 5_000_000

The scheduler is the one of the machine and every bound is checked by the same code; coroutines stay alive instead of
being replayed, so a breakpoint is met once. What the double does not have: gas, the allow-list of imports, proofs,
and several blocks' worth of everything else that a network does; the simulator has those.
"""

from ostraka_contract.testing.parts import Contract, Ticket, address
from ostraka_contract.testing.shards import Shards

__all__ = ["Contract", "Shards", "Ticket", "address"]
