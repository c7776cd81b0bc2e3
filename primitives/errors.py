"""Errors say whose fault it is: the sender's (`Refused`), nobody's yet (`NotYet`), or ours (`InvariantViolated`)."""


class OstrakaError(Exception):
    """The root of every error this project raises on purpose."""


class Refused(OstrakaError):
    """Bad input. The sender's fault; the receiver's state is untouched.

    `code` is stable and machine-readable (snake_case, e.g. "nonce_gap"); `detail` is for people and says
    what was wrong and, where there is something to do, what to do next.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotYet(OstrakaError):
    """Something needed to decide is missing. Nobody's fault: fetch it and ask again."""


class InvariantViolated(OstrakaError):
    """A property that our own code guarantees does not hold. Our fault: stop loudly."""


def invariant(condition: bool, why: str) -> None:  # noqa: FBT001 - reads like assert, survives `python -O`
    """Stop when a property of our own making does not hold; never used on what a peer controls.

    Raises:
        InvariantViolated: when `condition` is false.

    """
    if not condition:
        raise InvariantViolated(why)
