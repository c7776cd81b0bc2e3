"""The pytest plugin as projects of users have it: run on small test files of its own."""

import sys
from importlib.metadata import entry_points

import pytest

from contracts.runtime.image import cache_folder
from tests.plugin.support import INI, run

pytest_plugins = ["pytester"]

CONTRACT = """
from ostraka_contract import call, get, put, view

def hit() -> int:
    put("hits", get("hits", 0) + 1)
    return get("hits")

async def hit_at(shard: int) -> int:
    return await call(shard, "target", "hit")

@view
def hits() -> int:
    return get("hits", 0)
"""


CACHE = cache_folder().parent
"""Of this user: pytester moves the home elsewhere, where the machine would be compiled anew."""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    pytester.makeini(INI)
    folder = pytester.mkdir("contracts")
    (folder / "target.py").write_text(CONTRACT)
    return pytester


def test_the_plugin_is_registered_under_its_entry_point() -> None:
    assert [each.value for each in entry_points(group="pytest11", name="ostraka")] == ["testnet.pytest_plugin.plugin"]


def test_the_test_of_the_design_passes_as_it_is_written(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_what_a_cut_shard_missed_expires(net, alice):
            near, far = net.deploy("target.py"), net.deploy("target.py", shard=2)
            with net.fault.cut(0, 2):
                tx = alice.send(near.hit_at(2))
                net.run_for("90s")
            tx.settle().expect(hop="target.hit", outcome="expired").expect(outcome="failed")
            assert far.hits() == 0
    """)
    run(project).assert_outcomes(passed=1)


def test_every_test_has_a_net_of_its_own_with_funded_people(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("again", range(2))
        def test_transfer(net, alice, bob, carol, dave, erin, again):
            everyone = [alice, bob, carol, dave, erin]
            assert {person.balance(shard) for person in everyone for shard in range(3)} == {10**12}
            alice.transfer(bob, 5).settle()
            assert bob.balance() == 10**12 + 5
    """)
    run(project).assert_outcomes(passed=2)


def test_size_and_seed_come_from_the_marker_the_ini_file_and_the_command_line(project: pytest.Pytester) -> None:
    project.makeini("""
        [pytest]
        asyncio_default_fixture_loop_scope = function
        ostraka_shards = 2
        ostraka_seed = 11
    """)
    project.makepyfile("""
        import pytest

        def test_ini(net, request):
            seed = request.config.getoption("--ostraka-seed") or 11
            assert (net.shards, net.validators, net.seed) == (2, 1, seed)

        @pytest.mark.ostraka(validators=4, seed=5)
        class TestMarked:
            def test_class(self, net, request):
                seed = request.config.getoption("--ostraka-seed") or 5
                assert (net.shards, net.validators, net.seed) == (2, 4, seed)

            @pytest.mark.ostraka(shards=1)
            def test_nearest_marker(self, net):
                assert (net.shards, net.validators) == (1, 1)
    """)
    run(project).assert_outcomes(passed=3)
    run(project, "--ostraka-seed", "99").assert_outcomes(passed=3)


def test_a_marker_that_asks_for_something_else_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.ostraka(shard=2)
        def test_it(net):
            pass
    """)
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*@pytest.mark.ostraka takes shards, validators, seed, not shard*"])


def test_a_failed_test_shows_the_seed_and_the_command_that_replays_it(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_it(net, alice, bob):
            tx = alice.transfer(bob, 5, to_shard=1).settle()
            tx.expect(outcome="expired")

        def test_plain_assertion(net):
            assert net.shards == 17
    """)
    result = run(project, "--ostraka-seed", "23")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*expected transfer to end expired, but on shard 1 it is ok*",
            "*✓ settled in*",
            "*seed 23, at * ms of virtual time · again: pytest *test_it* --ostraka-seed 23*",
            "*- ostraka -*",
            'again: pytest "*::test_plain_assertion" --ostraka-seed 23',
        ]
    )
    result.stdout.no_fnmatch_line("*testnet/virtual/transactions.py*")


def test_a_broken_invariant_fails_a_test_that_did_not_notice(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_it(net, alice, bob):
            alice.transfer(bob, 5).settle()
            net.world.judge.books.shards[0].balances[bob.key] += 1
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*VIOLATED V1*", "*--ostraka-seed 7*"])


def test_each_example_of_hypothesis_begins_with_what_the_fixtures_made(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from hypothesis import given, settings, strategies as st

        @pytest.fixture
        def target(net):
            return net.deploy("target.py")

        @given(st.integers(1, 4))
        @settings(max_examples=20)
        def test_decorated(net, target, alice, hits):
            assert target.hits() == 0
            for _ in range(hits):
                alice.send(target.hit())
            net.settle()
            assert target.hits() == hits

        class TestInClass:
            @given(st.integers(1, 4))
            def test_plain(self, alice, bob, amount):
                alice.transfer(bob, amount).settle()
                assert bob.balance() == 10**12 + amount

        @pytest.mark.parametrize("shard", [0, 1])
        @given(amount=st.integers(1, 4))
        def test_parametrized(alice, bob, shard, amount):
            alice.transfer(bob, amount, shard=shard).settle()
            assert bob.balance(shard) == 10**12 + amount
    """)
    run(project).assert_outcomes(passed=4)


def test_an_example_that_fails_is_shrunk_and_shown(project: pytest.Pytester) -> None:
    project.makepyfile("""
        from hypothesis import given, strategies as st

        @given(st.integers(0, 1000))
        def test_it(alice, bob, amount):
            alice.transfer(bob, amount + 1).settle()
            assert bob.balance() < 10**12 + 500
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*amount=499,*"])


def test_other_fixtures_of_function_scope_keep_their_health_check(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from hypothesis import given, strategies as st

        @pytest.fixture
        def basket():
            return []

        @given(st.integers())
        def test_it(net, basket, number):
            basket.append(number)
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*uses a function-scoped fixture 'basket'*"])


def test_it_works_in_the_processes_of_xdist_and_in_random_order(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("amount", range(1, 7))
        def test_it(alice, bob, amount):
            alice.transfer(bob, amount, to_shard=1).settle()
            assert bob.balance(1) == 10**12 + amount
    """)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "-p", "randomly", "-n", "2")
    result.assert_outcomes(passed=6)


def test_a_project_that_uses_no_fixture_imports_nothing(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import sys

        def test_it():
            heavy = {"testnet.virtual", "testnet.simulator", "shards", "msgspec", "networkx", "wasmtime", "nacl"}
            assert not heavy & set(sys.modules)
    """)
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist")
    result = project.run(*command)
    assert result.ret == 0, result.stdout.str()


def test_a_net_goes_with_its_test(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import gc
        import weakref

        import pytest

        KEPT = []

        def test_first(net, alice, bob):
            alice.transfer(bob, 5, to_shard=1).settle()
            KEPT.append(weakref.ref(net.world))

        def test_later():
            gc.collect()
            assert KEPT[0]() is None
    """)
    run(project).assert_outcomes(passed=2)


def test_markers_and_options_are_listed_with_what_they_mean(project: pytest.Pytester) -> None:
    run(project, "--markers").stdout.fnmatch_lines(
        ["@pytest.mark.ostraka(shards=3, validators=1, seed=7): size and seed*", "@pytest.mark.seeds(count): run a*"]
    )
    run(project, "--help").stdout.fnmatch_lines(
        [
            "*--ostraka-seed=N*",
            "*--ostraka-seeds=N*",
            "*--ostraka-faults=FILE*",
            "*--ostraka-no-minimise*",
            "*ostraka_shards*",
            "*ostraka_validators*",
        ]
    )
    run(project, "--fixtures").stdout.fnmatch_lines(["net -- *", "*virtual time*", "alice*"])
