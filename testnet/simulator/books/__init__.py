"""S2, V1, X1 to X4: a second set of books, kept from the bytes of finalized blocks and shared with nobody.

It shares no arithmetic with the ledger: bytes are read with the `msgpack` library, the rules of money, of queues and
of timers are written down again here, and every height is booked once, by whichever honest validator executes it
first; the others are compared with that. What a contract's run did is the machine's to say, and is read from its
receipt; whether it was to run at all, with what in hand, for whom, what it heard and what becomes of its money is
booked here. What the books say must then be what commitments, receipts, messages and the flat state say.
"""

from testnet.simulator.books.books import Books
from testnet.simulator.books.records import OpenCall, ShardBooks, value_of

__all__ = ["Books", "OpenCall", "ShardBooks", "value_of"]
