"""Every bound of the ledger in one place, each with the reason for its number. Exceeding one names it."""

MAX_TRANSACTION_BYTES = 96 * 1024
"""A contract's source of 64 KiB with `init`'s arguments; 16 transfers take 2 kB."""

MAX_OPERATIONS = 16
"""Several operations under one signature; beyond that the signature is no longer what costs."""

MAX_MEMO_BYTES = 64
"""A payment reference, not a document store."""

MAX_PRINCIPAL_BYTES = 128
"""An address (32 B) or a contract name with its shard."""

MAX_METHOD_LENGTH = 64
MAX_ARGUMENT_BYTES = 16 * 1024
MAX_RESULT_BYTES = 16 * 1024
MAX_ERROR_LENGTH = 1024
MAX_TRACEBACK_LENGTH = 8 * 1024
"""Bounded text: a remote failure is explained, a stream is not flooded."""

MAX_MESSAGE_BYTES = 32 * 1024
"""One call or reply with the largest argument, result and traceback."""

MAX_DEPTH = 16
"""Calls that make calls; each level holds an open call on its shard."""

MAX_BUNDLE_MESSAGES = 512
MAX_BUNDLE_BYTES = 256 * 1024
"""A bundle is one item of a block; several sources fit beside the transactions."""

STREAM_WINDOW = 4096
"""Unacknowledged requests per stream: what a halted destination may make its sources keep in state."""

MAX_OPEN_CALLS_PER_ACCOUNT = 1024
"""Per sender over all destinations; bounds the replies that are exempt from the window."""

MAX_OPEN_CALLS_PER_LANE = 2 * STREAM_WINDOW
"""Unanswered calls from one shard to another: bounds the replies that its peer must keep in state, whoever relays."""

RESUME_GAS = 20_000
"""Reserved in a block for resuming a call, beside twice what the call has used so far; see `shards.calls.sending`."""

MAX_QUEUED = STREAM_WINDOW
"""Messages from a shard to itself that wait for their block: as for a stream to any other shard."""

MAX_DUE_TIMERS = 1024
"""Timers looked at in one block; the others are due in the next."""

TOP_UP_MS = 10 * 60 * 1000
"""How long a call that ran out of gas while it resumed waits for more: time for a person to notice and act."""

BLOCK_GAS = 2_000_000
"""About 2,000 transfers: what one core executes in some 30 ms."""

LOCAL_GAS = 200_000
"""Reserved in each block for what is due and for same-shard messages."""

ANCHOR_LAG = 8
"""K: a block whose anchor is further back than this must be empty, so execution never lags far."""

MAX_VALIDITY_MS = 24 * 3600 * 1000
"""A transaction may not be valid longer than this after the block it is in, nor a deadline be further away."""

HISTORY_BLOCKS = 1_000_000
"""How many blocks the chain store keeps bodies and receipts for."""
