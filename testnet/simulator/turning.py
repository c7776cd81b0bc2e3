"""Validators that become liars in the middle of a run.

Whoever has lied once stays guilty to the end: what it signed meanwhile goes on to prove nothing.
"""

from dataclasses import replace

from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.byzantine_validator import ByzantineValidator, make_validator
from testnet.simulator.faults import Name
from testnet.simulator.machine import shared_machine
from testnet.simulator.population import validator_seed
from testnet.simulator.world import World


def make_liar(world: World, name: Name, behaviour: str) -> None:
    """Restart a validator that runs as one that can behave like this, on the disks that it has.

    It lies while a fault of the kind `LYING` lasts.
    """
    world.judge.distrust(name)
    old = world.validators[name]
    if isinstance(old, ByzantineValidator):
        old.conduct = BYZANTINE_VALIDATORS[behaviour](old.conduct.hand)
        return
    place = (old.shard, old.index)
    liar = make_validator(
        replace(world.settings, byzantine_validators={**world.settings.byzantine_validators, name: behaviour}),
        world.context,
        place,
        (validator_seed(*place), world.scheme),
        (world.heap, world.network, world.trace, world.judge),
        shared_machine(),
    )
    liar.disk, liar.state_disk = old.disk, old.state_disk
    world.adopt(old, liar)
    liar.start()
