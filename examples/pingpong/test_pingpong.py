"""Ping-pong between two shards."""

from testnet.virtual import Account, Net


def test_the_ball_crosses_the_net(net: Net, alice: Account) -> None:
    here, there = net.deploy("player.py"), net.deploy("player.py", shard=1)
    assert alice.send(here.serve(1, 5)).result() == 10
    assert there.hits() == 5


def test_players_call_each_other_in_turns(net: Net, alice: Account) -> None:
    here, there = net.deploy("player.py"), net.deploy("player.py", shard=1)
    tx = alice.send(here.volley(1, 3))
    assert tx.result() == 3
    tx.expect(hop="player.volley", outcome="ok", times=4)
    assert (here.hits(), there.hits()) == (2, 2)


def test_a_rally_survives_a_restart_of_every_validator(net: Net, alice: Account) -> None:
    here, there = net.deploy("player.py"), net.deploy("player.py", shard=1)
    rally = alice.send(here.serve(1, 4))
    for hits in range(1, 4):
        net.run_until(lambda hits=hits: there.hits() >= hits)
        net.fault.restart_all()
    assert rally.result() == 8
