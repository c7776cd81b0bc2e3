"""A test that fails in chaos shows the few faults that it needs, and a file with which they come again."""

import re
from pathlib import Path

import pytest

from testnet.pytest_plugin import minimising
from testnet.virtual import Fault, FaultKind
from testnet.virtual.schedules import plans_text, read_plans
from tests.plugin.support import run

pytest_plugins = ["pytester"]


def files(project: pytest.Pytester) -> list[Path]:
    return sorted((project.path / ".ostraka-failures").glob("*.toml"))


def again(result: pytest.RunResult) -> list[str]:
    """Arguments of the command that the report shows."""
    (line,) = [line for line in result.outlines if line.startswith("again: ")]
    found = re.fullmatch(r'again: pytest "(.*)" (--ostraka-seed) (\d+) (--ostraka-faults) (\S+)', line)
    assert found is not None, line
    return list(found.groups())


DEAF = """
    def test_it(net, alice, bob):
        with net.fault.chaos(lasts="20s", intensity=4):
            for _ in range(20):
                net.run_for("1s")
                assert net.world.relays[0].courier is not None
"""
"""Fails as soon as the relay is down."""


def test_of_the_faults_that_were_drawn_those_are_shown_that_it_takes(project: pytest.Pytester) -> None:
    project.makepyfile(DEAF)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r"seed 7, at \d+ ms of virtual time.*", r"of \d\d+ faults 1 suffices \(\d+ runs, [\d.]+ s\):"]
    )
    (file,) = files(project)
    (plan,) = read_plans(file)
    assert [fault.kind for fault in plan] == [FaultKind.RELAY_CRASH]
    result.stdout.fnmatch_lines([str(plan[0])])
    assert (project.path / ".ostraka-failures" / ".gitignore").read_text() == "*\n"


def test_the_command_that_is_shown_plays_those_faults_alone(project: pytest.Pytester) -> None:
    project.makepyfile(DEAF)
    shown = again(run(project))
    result = run(project, *shown)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"again: pytest * --ostraka-faults {shown[-1]}"])
    result.stdout.no_fnmatch_line("*suffice*")
    (file,) = files(project)
    file.write_text(plans_text([()], {"seed": 7, "shards": 3, "validators": 1}))
    run(project, *shown).assert_outcomes(passed=1)


PLANS = """
    import pytest
    from testnet.virtual import Fault, FaultKind

    QUIET = [Fault(FaultKind.CLOCK, "s0v0", at, at + 50, 5) for at in range(0, 1000, 100)]
    HALT = Fault(FaultKind.HALT, "s1", 300, 900, 1)
    PAUSE = Fault(FaultKind.PAUSE, "s2v0", 100, 1100)

    @pytest.fixture
    def broken(net, tmp_path):
        assert not list(tmp_path.iterdir())
        (tmp_path / "seen").touch()
        net.fault.play([*QUIET, HALT])
        yield net
        print("ended")

    @pytest.mark.parametrize("second", ["1500ms"])
    def test_it(broken, monkeypatch, capsys, second):
        monkeypatch.setenv("SEEN", "1")
        broken.run_for("500ms")
        halted = not broken.world.validators["s1v0"].alive
        broken.fault.play([PAUSE, *QUIET])
        broken.run_for("500ms")
        assert not (halted and broken.world.validators["s2v0"].paused)
"""


def test_faults_of_several_plans_and_of_fixtures_are_minimised_together(project: pytest.Pytester) -> None:
    project.makepyfile(PLANS)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"of 22 faults 2 suffice .*", r"plan 1: .*halt .*s1 .*", r"plan 2: .*pause .*s2v0.*"])
    (file,) = files(project)
    assert read_plans(file) == (
        (Fault(FaultKind.HALT, "s1", 300, 900, 1),),
        (Fault(FaultKind.PAUSE, "s2v0", 100, 1100, 0),),
    )
    run(project, *again(result)).assert_outcomes(failed=1)


def test_a_failure_that_needs_no_fault_says_so(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_it(net):
            net.fault.chaos(lasts="5s", intensity=3)
            net.run_for("6s")
            assert net.shards == 4
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"none of the \d+ faults is needed: it fails without them"])


def test_another_failure_is_not_taken_for_the_one_that_is_looked_for(project: pytest.Pytester) -> None:
    project.makepyfile("""
        from testnet.virtual import Fault, FaultKind

        def test_it(net):
            net.fault.play([Fault(FaultKind.HALT, "s0", 0, 1000, 1), Fault(FaultKind.PAUSE, "s1v0", 0, 1000)])
            net.run_for("500ms")
            if net.world.validators["s1v0"].paused:
                raise ValueError("it sleeps") if not net.world.validators["s0v0"].alive else KeyError("it only sleeps")
    """)
    result = run(project)
    result.stdout.re_match_lines([r"of 2 faults 2 suffice .*"])


def test_a_test_that_chance_decides_is_shown_with_all_of_its_faults(project: pytest.Pytester) -> None:
    project.makepyfile("""
        SEEN = []

        def test_it(net):
            net.fault.chaos(lasts="5s", intensity=3)
            SEEN.append(net)
            assert len(SEEN) > 1
    """)
    result = run(project)
    result.stdout.re_match_lines([r"with the same \d+ faults it did not fail like this again; not minimised"])
    (file,) = files(project)
    assert len(read_plans(file)[0]) > 2


@pytest.mark.parametrize(
    ("source", "arguments", "reason"),
    [
        (DEAF, ("--ostraka-no-minimise",), "--ostraka-no-minimise"),
        (
            """
            import pytest

            @pytest.fixture(scope="module")
            def basket():
                return []

            @pytest.fixture
            def full(basket):
                return basket

            def test_it(net, full):
                net.fault.chaos(lasts="5s", intensity=4)
                full.append(net.seed)
                assert len(full) > 1, len(full)
            """,
            (),
            "the fixture 'basket' outlives the test",
        ),
        (
            """
            from hypothesis import given, settings, strategies as st

            @given(st.integers(0, 3))
            @settings(max_examples=3)
            def test_it(net, number):
                net.fault.chaos(lasts="5s", intensity=4)
                assert number > 5
            """,
            (),
            "Hypothesis runs the test, and shrinks what it draws",
        ),
    ],
    ids=["by option", "lasting fixture", "hypothesis"],
)
def test_what_cannot_safely_run_again_does_not_and_says_why(
    project: pytest.Pytester, source: str, arguments: tuple[str, ...], reason: str
) -> None:
    project.makepyfile(source)
    result = run(project, *arguments)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([rf"\d+ faults were planned; not minimised: {re.escape(reason)}.*"])
    assert len(files(project)) == 1


def test_of_many_that_fail_only_the_first_are_minimised(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minimising, "MAX_SESSION_SECONDS", 0.001)
    project.makepyfile("""
        import pytest

        @pytest.mark.seeds(3)
        def test_it(net):
            net.fault.chaos(lasts="5s", intensity=4)
            assert net.shards == 4
    """)
    result = run(project)
    result.assert_outcomes(failed=3)
    assert sum("is needed: it fails without them" in line for line in result.outlines) == 1
    assert sum("not minimised: 0 s were spent on others; run it alone" in line for line in result.outlines) == 2


def test_what_ends_badly_after_it_failed_is_an_error_of_its_own(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        ENDED = []

        @pytest.fixture
        def cranky(net):
            yield net
            ENDED.append(net.seed)
            if len(ENDED) == 1:
                raise OSError("it does not close")

        def test_it(cranky):
            cranky.fault.chaos(lasts="5s", intensity=4)
            assert cranky.shards == 4
    """)
    result = run(project)
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*OSError: it does not close*"])
    result.stdout.re_match_lines([r"\d+ faults were planned; not minimised: its fixtures do not end and begin again"])


def test_tests_that_come_after_it_and_those_of_other_processes_are_not_disturbed(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.seeds(2)

        class TestInClass:
            def test_first(self, net, caplog):
                net.fault.chaos(lasts="3s", intensity=4)
                print("a word")
                net.run_for("3s")
                assert net.seed != 7

            def test_later(self, net, alice, bob, caplog):
                alice.transfer(bob, 5).settle()
        """
    )
    project.makeconftest("""
        def pytest_runtest_logreport(report):
            words = [text for name, text in report.sections if "a word" in text]
            assert len(words) <= 1, "what the other runs print is not reported"
    """)
    result = run(project)
    result.assert_outcomes(passed=3, failed=1)
    assert result.outlines.count("a word") == 1
    project.runpytest_subprocess("-p", "no:cacheprovider", "-p", "randomly", "-n", "2").assert_outcomes(
        passed=3, failed=1
    )


def test_a_file_of_faults_that_is_none_is_an_error_that_names_it(project: pytest.Pytester) -> None:
    project.makepyfile(DEAF)
    for name, content, problem in (
        ("missing.toml", None, "cannot read the run *missing.toml: No such file"),
        ("odd.toml", "color = 3", "*odd.toml: it has ?[[]plan?? tables and seed, shards, validators"),
        (
            "far.toml",
            "[[plan]]\n[[plan.faults]]\nkind = 'halt'\ntarget = 's9'\nstart_ms = 0\nend_ms = 1",
            "*'s9' is no",
        ),
    ):
        if content is not None:
            (project.path / name).write_text(content)
        result = run(project, "--ostraka-faults", name)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"*--ostraka-faults: *{problem}*"])
