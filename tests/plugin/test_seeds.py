"""`@pytest.mark.seeds`: one test, many networks of different luck."""

import pytest

from tests.plugin.support import INI, run

pytest_plugins = ["pytester"]


def items(project: pytest.Pytester, *arguments: str) -> list[str]:
    """Names of the tests that there are."""
    listed = run(project, "--collect-only", "-q", *arguments).outlines
    return [line.partition("::")[2] for line in listed if "::" in line]


MARKED = """
    import pytest

    SEEN = set()

    @pytest.mark.seeds(3)
    def test_it(net, alice, bob, ostraka_seed):
        assert net.seed == ostraka_seed
        alice.transfer(bob, 5, to_shard=1).settle()
        SEEN.add((net.seed, net.world.trace.digest()))

    def test_other(net):
        assert net.seed not in {seed for seed, _ in SEEN} - {7}
        assert len({luck for _, luck in SEEN}) == len(SEEN)
"""


def test_a_marked_test_runs_once_for_each_seed_and_others_once(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED)
    assert items(project) == ["test_it[seed-7]", "test_it[seed-8]", "test_it[seed-9]", "test_other"]
    run(project).assert_outcomes(passed=4)


def test_seeds_count_from_the_seed_that_the_test_has(project: pytest.Pytester) -> None:
    project.makeini(INI + "ostraka_seed = 40\n")
    project.makepyfile("""
        import pytest

        pytestmark = pytest.mark.seeds(2)

        def test_ini(net): pass

        @pytest.mark.ostraka(seed=100)
        def test_marker(alice): pass
    """)
    assert items(project) == [
        "test_ini[seed-40]", "test_ini[seed-41]", "test_marker[seed-100]", "test_marker[seed-101]",
    ]  # fmt: skip


def test_the_command_line_says_how_many_or_which_one(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED)
    assert len(items(project, "--ostraka-seeds", "20")) == 21
    assert items(project, "--ostraka-seed", "8") == ["test_it[seed-8]", "test_other"]
    run(project, "--ostraka-seeds", "2").assert_outcomes(passed=3)


def test_a_test_may_be_in_a_class_have_parameters_fixtures_and_be_async(project: pytest.Pytester) -> None:
    project.makeini(INI + "asyncio_mode = auto\n")
    project.makepyfile("""
        import pytest

        @pytest.fixture
        def paid(net, alice, bob):
            alice.transfer(bob, net.seed).settle()
            return net.seed

        @pytest.mark.seeds(2)
        class TestInClass:
            @pytest.mark.parametrize("more", [1, 2])
            def test_it(self, paid, bob, ostraka_seed, more):
                assert bob.balance() == 10**12 + paid == 10**12 + ostraka_seed

        @pytest.mark.seeds(2)
        async def test_async(paid, net):
            assert paid == net.seed
    """)
    run(project).assert_outcomes(passed=6)
    assert "TestInClass::test_it[seed-8-2]" in items(project)


def test_a_failure_shows_the_seed_that_failed_and_its_command(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.seeds(3)
        def test_it(net):
            assert net.seed != 8
    """)
    result = run(project)
    result.assert_outcomes(passed=2, failed=1)
    (again,) = [line for line in result.outlines if line.startswith("again: ")]
    assert again.endswith('::test_it[seed-8]" --ostraka-seed 8')
    target = again.partition('"')[2].partition('"')[0]
    run(project, target, "--ostraka-seed", "8").assert_outcomes(failed=1)
    run(project, target).assert_outcomes(failed=1)


def test_each_seed_of_a_test_of_hypothesis_has_its_examples(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from hypothesis import given, settings, strategies as st

        @pytest.mark.seeds(2)
        @given(amount=st.integers(1, 4))
        @settings(max_examples=5)
        def test_it(net, alice, bob, amount):
            alice.transfer(bob, amount).settle()
            assert bob.balance() == 10**12 + amount
    """)
    run(project).assert_outcomes(passed=2)


def test_seeds_are_spread_over_the_processes_of_xdist(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.seeds(4)
        def test_it(net, ostraka_seed):
            assert net.seed == ostraka_seed
    """)
    project.runpytest_subprocess("-p", "no:cacheprovider", "-p", "randomly", "-n", "2").assert_outcomes(passed=4)


@pytest.mark.parametrize("written", ["seeds()", "seeds(0)", "seeds('many')", "seeds(True)", "seeds(count=3)"])
def test_a_marker_without_a_number_is_an_error_that_says_what_to_write(project: pytest.Pytester, written: str) -> None:
    project.makepyfile(f"""
        import pytest

        @pytest.mark.{written}
        def test_it(net): pass
    """)
    result = run(project)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*test_it: @pytest.mark.seeds takes how many, like @pytest.mark.seeds(20)*"])


def test_a_marked_test_without_a_net_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.seeds(3)
        def test_it(): pass
    """)
    result = run(project)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*@pytest.mark.seeds is for tests that use `net`*"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--ostraka-seeds", "0"), "--ostraka-seeds takes 1 to 100000, not 0"),
        (("--ostraka-seeds", "3", "--ostraka-seed", "1"), "--ostraka-seed runs one seed and --ostraka-seeds many"),
    ],
)
def test_options_that_cannot_be_are_refused(project: pytest.Pytester, arguments: tuple[str, ...], error: str) -> None:
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{error}*"])
