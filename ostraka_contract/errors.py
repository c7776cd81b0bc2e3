"""What a contract may catch."""

from contracts.values import Value


class ContractError(Exception):
    """The root of what this package raises."""


class CallFailed(ContractError):
    """A call to another contract did not happen, or failed there before it committed anything.

    `kind` is `failed` (the method raised), `expired` (not consumed by its deadline), `refused` (no such contract or
    method, not enough gas) or `lane_full` (too many calls under way towards that shard). `error` and `message` are
    the type and text of what the method raised, `remote_traceback` where; `returned` is how much of the attached
    value came back, in base units.
    """

    def __init__(
        self, kind: str, error: str = "", message: str = "", remote_traceback: str = "", returned: int = 0
    ) -> None:
        super().__init__(f"{kind}: {error}: {message}" if error else f"{kind}: {message}" if message else kind)
        self.kind = kind
        self.error = error
        self.message = message
        self.remote_traceback = remote_traceback
        self.returned = returned


class OutcomeUnknown(ContractError):
    """Patience ran out and the call may still happen: deliberately not a CallFailed, so that nobody compensates it."""


class Locked(ContractError):
    """The key is held by another call, until it lets go or its lease runs out."""


class LeaseLost(ContractError):
    """The lease ran out while this call awaited: somebody else may have held the key since.

    The reply that arrived meanwhile is attached: `reply` when the call succeeded, `failure` when it did not.
    """

    def __init__(self, key: str, reply: Value = None, failure: Exception | None = None) -> None:
        super().__init__(f"the lease of {key!r} ran out before the reply came")
        self.key = key
        self.reply = reply
        self.failure = failure


class InsufficientBalance(ContractError):
    """The contract holds less than it wants to send."""


class LimitExceeded(ContractError):
    """A limit of the machine: the text names it and its number."""


class NotAllowed(ContractError):
    """The host does not do this here, such as writing in a view."""
