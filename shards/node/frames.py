"""Frames: what crosses a link at once. `frame = (u32 length ‖ message)*`, big-endian, at least one message.

A wake-up of a sleeping process costs 40 to 50 µs, so everything that is said in one turn of the loop shares a frame.
"""

from collections.abc import Iterable

from consensus.messages import MAX_MESSAGE_BYTES
from primitives.errors import Refused

LENGTH_BYTES = 4

MAX_LINK_MESSAGE_BYTES = MAX_MESSAGE_BYTES + 1
"""The largest consensus message with its byte of kind; nothing else that validators say is larger."""

MAX_FRAME_BYTES = MAX_LINK_MESSAGE_BYTES + LENGTH_BYTES
"""One message of the largest size; refused by its header before anything is allocated."""

MAX_FRAME_MESSAGES = 4096
"""Of several messages in a frame; bounds what one frame makes its receiver queue."""


def pack_frame(messages: Iterable[bytes]) -> bytes:
    """Frame of these messages; the sender sees to the limits."""
    parts = []
    for message in messages:
        parts.append(len(message).to_bytes(LENGTH_BYTES, "big"))
        parts.append(message)
    return b"".join(parts)


def unpack_frame(frame: bytes) -> list[bytes]:
    """Messages of a frame.

    Raises:
        Refused: `bad_frame`: too large, empty, too many messages, or lengths that do not add up.

    """
    if not 0 < len(frame) <= MAX_FRAME_BYTES:
        raise Refused("bad_frame", f"a frame has 1 to {MAX_FRAME_BYTES} bytes, this one {len(frame)}")
    messages: list[bytes] = []
    at = 0
    while at < len(frame):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(frame[at:begin], "big")
        if at > len(frame) or begin > len(frame):
            raise Refused("bad_frame", "a message in a frame is longer than what is left of the frame")
        if len(messages) == MAX_FRAME_MESSAGES:
            raise Refused("bad_frame", f"a frame has at most {MAX_FRAME_MESSAGES} messages")
        messages.append(frame[begin:at])
    return messages
