"""A relay that changes what it carries: one byte or one field of every bundle, drawn anew each time."""

import msgpack

from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.draws import Draws
from testnet.simulator.post import Forward

_CERTIFICATE, _HEAD, _PATH, _FIRST, _PEAKS, _BODIES, _RIGHT = range(7)


class ForgingPost(LyingPost):
    """Delivers forgeries only: flipped bytes, other bodies, other counters, fewer signatures, invented peaks."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forge, then forward."""
        self.carried += 1
        forward(self._forge(raw, self.draws.under(str(self.carried))))

    def _forge(self, raw: bytes, draws: Draws) -> bytes:
        fields = msgpack.unpackb(raw)
        how = draws.number(0, 0, 7)
        if how == 0 or (how == 1 and not fields[_BODIES]):
            place = draws.number(1, 0, len(raw) - 1)
            return raw[:place] + bytes([raw[place] ^ 1 << draws.number(2, 0, 7)]) + raw[place + 1 :]
        if how == 1:
            bodies = fields[_BODIES]
            place = draws.number(1, 0, len(bodies) - 1)
            message = msgpack.unpackb(bodies[place])
            message[1] = bytes(32)
            bodies[place] = msgpack.packb(message)
        elif how == 2:
            fields[_FIRST] += draws.number(1, 1, 3)
        elif how == 3:
            head = fields[_HEAD]
            place = draws.number(1, 2, len(head) - 1)
            head[place] = head[place] + 1 if isinstance(head[place], int) else bytes(len(head[place]) - 1) + b"\x01"
        elif how == 4:
            signers, signatures = fields[_CERTIFICATE][1]
            bits = int.from_bytes(signers, "little")
            fields[_CERTIFICATE][1] = [(bits & (bits - 1)).to_bytes(len(signers), "little"), signatures[1:]]
        elif how == 5:
            fields[_CERTIFICATE][0][4] += 1
        elif how == 6:
            fields[_BODIES].append(fields[_BODIES][-1] if fields[_BODIES] else b"\x91\x01")
            fields[_HEAD][3] += 1
        else:
            fields[_PEAKS].append(bytes(32))
        return bytes(msgpack.packb(fields))
