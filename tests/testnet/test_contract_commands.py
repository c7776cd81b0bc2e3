"""Contracts of a real testnet, driven by the command line as their authors drive it."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from testnet.cli.main import app
from tests.contracts.support import PROGRAMS
from tests.testnet.real import COMMAND, SECONDS, Shell

pytestmark = pytest.mark.real

TALLY = PROGRAMS / "tally.py"

RAISES = TALLY.read_text().splitlines().index('        raise TooMuch(f"{amount} is more than 100")') + 1

PLENTY = "1000000"
"""Gas with which a resumption that ran out of it ends."""


@dataclass(frozen=True)
class Quick(Shell):
    """Runs the commands in this process, which has imported everything already."""

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command and check its exit code (None: any)."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(app, list(arguments))
        if code is not None:
            assert done.exit_code == code, f"ostraka {' '.join(arguments)}\n{done.output}{done.exception}"
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Two shards with a tally each, deployed by the first development account."""
    shell = Quick(tmp_path_factory.mktemp("tally"))
    shutil.copy(TALLY, shell.folder)
    Shell(shell.folder).run("up", "--detach", "--shards", "2")
    shell.run("deploy", "tally.py", "--args", "5")
    shell.run("deploy", "tally.py", "--shard", "1", "--args", "[7]")
    yield shell
    shell.run("down", code=None)


def error(net: Shell, *arguments: str, code: int = 2) -> dict[str, Any]:
    """What a command that fails says to programs; for people it says the same."""
    failed: dict[str, Any] = net.json(*arguments, code=code)["error"]
    assert failed["detail"] in net.run(*arguments, code=code).stderr
    return failed


def write(net: Shell, name: str, source: str) -> str:
    (net.folder / name).write_text(source)
    return name


def test_a_deployment_says_what_is_there_now(net: Shell) -> None:
    done = net.json("deploy", "tally.py", "--name", "another@1", "--owner", "none", "--value", "2.5")
    assert (done["outcome"], done["contract"], done["shard"], done["findings"]) == ("settled", "another", 1, [])
    [node] = done["trace"]["contracts"]
    [run] = [hop for hop in done["trace"]["hops"] if hop["kind"] == "run"]
    assert done["gas"] == node["gas"] > run["gas"] > 0, "compiling it takes gas, and so does its init"
    [shown] = net.json("contracts", "another@1", "--source")["contracts"]
    assert (shown["owner"], shown["balance"], shown["source"]) == (None, "2500000", TALLY.read_text())
    told = net.run("deploy", "tally.py", "--name", "third@0").stdout
    assert told.startswith("✓ deploy third by alice   settled in ")
    assert "third@0 has 7 methods, 2 of them views" in told
    assert {"tally", "third"} <= {each["name"] for each in net.json("contracts")["contracts"]}


def test_a_call_for_programs_is_one_object_with_its_trace(net: Shell) -> None:
    before = net.json("view", "tally@1", "total")["result"]
    done = net.json("call", "tally@0", "pass_on", "1", "3")
    assert len(done["id"]) == 64
    assert (done["outcome"], done["result"], done["error"]) == ("settled", before + 3, None)
    [root] = done["trace"]["contracts"]
    [child] = root["calls"]
    assert done["gas"] == root["gas"] + child["gas"]
    assert (child["contract"], child["shard"], child["arguments"], child["result"]) == ("tally", 1, [3], before + 3)
    assert net.json("view", "tally@1", "total")["result"] == before + 3, "what is settled is seen by the next command"
    assert (root["log"], child["log"]) == ([], ["added 3"])
    assert net.json("trace", done["id"]) == {**done["trace"], "spans": None}
    assert "  tally.add │ added 3" in net.run("trace", done["id"]).stdout.splitlines()


def test_a_trace_is_exported_as_spans(net: Shell) -> None:
    done = net.json("call", "tally@0", "pass_on", "1", "5")
    assert net.run("trace", done["id"], "--otel", "spans.json").stdout.splitlines()[-1] == "spans: spans.json"
    [resource] = json.loads((net.folder / "spans.json").read_text())["resourceSpans"]
    names = [span["name"] for span in resource["scopeSpans"][0]["spans"]]
    assert names == ["tally.pass_on", "tally.add"]
    nowhere = error(net, "trace", done["id"], "--otel", "http://127.0.0.1:1")
    assert nowhere["code"] == "collector"


def test_a_failure_on_another_shard_is_one_traceback_and_exit_code_1(net: Shell) -> None:
    failed = net.json("call", "tally@0", "pass_on", "1", "300", code=1)
    assert (failed["outcome"], failed["result"], failed["error"]) == ("failed", None, "TooMuch")
    lines = net.run("trace", failed["id"]).stdout.splitlines()
    assert lines[0].startswith("✗ tally.pass_on(1, 300) by alice   FAILED at hop 1 of 1 · ")
    assert lines[-6:-1] == [
        '    total: int = await call(shard, "tally", "add", amount)',
        lines[-5],
        f"  shard 1 · tally.py:{RAISES} in add",
        '    raise TooMuch(f"{amount} is more than 100")',
        "TooMuch: 300 is more than 100",
    ]
    assert lines[-5].startswith("  ⇢ message ")
    assert lines[-1] == f"replay: ostraka replay {failed['id']}"


def test_the_first_account_signs_unless_another_is_named(net: Shell) -> None:
    addresses = {each["name"]: each["address"] for each in net.json("accounts")["accounts"]}
    givers = []
    for arguments in ([], ["--from", "bob"], ["--from", "carol@1"]):
        net.run("call", "tally@0", "add", "1", *arguments)
        givers.append(net.json("view", "tally@0", "givers")["result"])
    assert f"by/{addresses['alice']}" in givers[0]
    assert f"by/{addresses['bob']}" in givers[1]
    assert f"by/{addresses['carol']}@1" in givers[2]


def test_what_is_sent_without_waiting_can_be_followed(net: Shell) -> None:
    sent = net.json("call", "tally@1", "add", "2", "--no-wait")
    assert (sent["outcome"], sent["result"], sent["trace"]) == ("pending", None, None)
    assert net.json("wait", sent["id"])["outcome"] == "settled"


@pytest.mark.parametrize(
    ("typed", "given"),
    [("-5", -5), ("1.50", {"$decimal": "1.50"}), ("snowy owl", "snowy owl"), ("[1, -2]", [1, -2]), ("", "")],
)
def test_arguments_arrive_as_they_are_typed(net: Shell, typed: str, given: Any) -> None:
    assert net.json("call", "tally@0", "echo", typed)["result"] == given


def test_an_address_can_be_written_as_its_name(net: Shell) -> None:
    [alice] = [each for each in net.json("accounts")["accounts"] if each["name"] == "alice"]
    assert net.json("call", "tally@0", "echo", "@alice")["result"] == alice["address"]


def test_an_estimate_changes_nothing_and_is_enough(net: Shell) -> None:
    before = net.json("contracts", "tally@0", "--storage", "")["storage"]
    estimate = net.json("estimate", "tally@0", "think", "5")
    assert (estimate["state"], [each["method"] for each in estimate["calls"]]) == ("suspended", ["add"])
    assert net.json("contracts", "tally@0", "--storage", "")["storage"] == before
    assert net.json("call", "tally@0", "think", "5", "--gas", str(estimate["suggested_gas"]))["outcome"] == "settled"


def test_a_view_is_verified_on_request(net: Shell) -> None:
    shown = net.json("view", "tally@1", "total", "--proof")
    assert shown["verified"]["height"] == shown["height"]
    assert shown["verified"]["signers"] >= 3
    assert "run again here on these entries alone, the view says the same" in (
        net.run("view", "tally@1", "total", "--proof").stdout
    )
    assert net.json("view", "tally@1", "total")["verified"] is None
    assert error(net, "view", "tally@1", "givers", "--proof")["code"] == "not_provable"


def test_a_call_out_of_gas_goes_on_when_it_is_given_more(net: Shell) -> None:
    sent = net.json("call", "tally@0", "think", "100000", "--gas", "60000", "--timeout", "3", code=1)
    assert sent["outcome"] == "pending"
    assert "tally.think is out of gas; give it some: ostraka topup " in sent["detail"]
    assert "waits for gas" in net.run("trace", sent["id"]).stdout
    call_id = sent["trace"]["contracts"][0]["call_id"]
    assert net.json("topup", call_id, PLENTY, "--from", "bob")["outcome"] == "settled", "anyone may"
    settled = net.json("wait", sent["id"])
    assert settled["outcome"] == "settled"
    assert error(net, "topup", sent["id"], PLENTY, code=1)["code"] == "call_over"
    replayed = net.json("replay", sent["id"])
    assert replayed["same"]
    assert {run["state"] for run in replayed["runs"]} == {"suspended", "starved", "completed"}


def test_only_the_owner_upgrades_and_the_new_code_runs(net: Shell) -> None:
    net.run("deploy", "tally.py", "--name", "young@0", "--from", "bob")
    newer = write(net, "newer.py", TALLY.read_text() + "\n\ndef migrate() -> None:\n    put('total', 40)\n")
    refused = net.json("upgrade", newer, "--name", "young@0", code=1)
    assert (refused["outcome"], "not_owner" in refused["detail"]) == ("failed", True)
    net.run("upgrade", newer, "--name", "young@0", "--from", "bob")
    assert net.json("view", "young@0", "total")["result"] == 40
    [shown] = net.json("contracts", "young@0")["contracts"]
    assert shown["upgrades"] == 1
    assert "once migrate()" in net.run("contracts", "young@0").stdout


def test_a_replay_says_what_the_chain_says_and_shows_what_was_printed(net: Shell) -> None:
    done = net.json("call", "tally@0", "pass_on", "1", "4")
    replayed = net.json("replay", done["id"])
    assert (replayed["same"], replayed["contract"], len(replayed["runs"])) == (True, "tally", 2)
    below = net.json("replay", done["id"], "--hop", "tally.add")
    assert [run["log"] for run in below["runs"]] == [["added 4"]]
    assert "✓ this machine does what the chain says" in net.run("replay", done["id"]).stdout
    known = error(net, "replay", done["id"], "--hop", "tally.nothing", code=1)
    assert known["detail"] == "no call tally.nothing ran in it; there are: tally.pass_on, tally.add"


def test_a_debugger_stops_at_the_method_and_shows_its_arguments(net: Shell) -> None:
    failed = net.json("call", "tally@0", "add", "300", code=1)
    shown = piped(net, "p amount\ncontinue\n", "replay", failed["id"], "--pdb")
    assert "(Pdb) 300" in shown.stdout
    assert "TooMuch: 300 is more than 100" in shown.stdout


def piped(net: Shell, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that reads what somebody types."""
    command = [*COMMAND, *arguments, "--home", str(net.home)]
    return subprocess.run(command, check=False, input=text, capture_output=True, text=True, timeout=SECONDS)


def test_the_console_awaits_calls_views_and_deployments(net: Shell) -> None:
    script = f"""
tally = contract("tally@0")
done = await alice.call(tally.add(1))
print(done.outcome, done.value == await tally.total(), done.gas > 0)
own = await carol.deploy({str(net.folder / "tally.py")!r}, shard=1, name="own", args=(9,))
print(await own.total(), await contract("own@1").total(), own is contracts["own@1"])
print((await bob.call(own.echo(alice))).value == alice.address)
print(await alice.transfer(bob, 1, to_shard=1))
"""
    shown = piped(net, script, "console")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[:3] == ["settled True True", "9 9 True", "True"]
    assert lines[3].startswith("✓ settled in ")


def test_a_console_script_that_raises_ends_with_its_own_traceback(net: Shell) -> None:
    for script, told in (
        ("def f():\n    raise KeyError(5)\nf()", "KeyError: 5"),
        ("await contract('tally@0').nothing()", "tally@0 has no method 'nothing'; it has add, pass_on"),
        ("await alice.call(", "SyntaxError"),
        ("await contract('nothing@0').m()", "there is no nothing@0; deployed are "),
        ("await contract('tally@0').total(1)", "TypeError"),
    ):
        shown = piped(net, script, "console")
        assert (shown.returncode, shown.stdout) == (1, "")
        assert told in shown.stderr
        assert "console.py" not in shown.stderr.partition("<stdin>")[0], "the prompt's own frames are no news"


def test_gas_that_grew_since_a_report_was_saved_is_exit_code_1(net: Shell) -> None:
    net.run("call", "tally@0", "echo", "1")
    net.run("gas", "--save", "gas.json")
    same = net.run("gas", "--compare", "gas.json").stdout
    assert "tally@0.echo" in same
    assert json.loads((net.folder / "gas.json").read_text())["methods"]["tally@0.echo"]["calls"] >= 1
    report = json.loads((net.folder / "gas.json").read_text())
    report["methods"]["tally@0.echo"]["median"] -= 100
    (net.folder / "lower.json").write_text(json.dumps(report))
    assert net.json("gas", "--compare", "lower.json", code=1)["grown"] == ["tally@0.echo"]
    assert net.json("gas", "--compare", "lower.json", "--tolerance", "50")["grown"] == []


WRONG: list[tuple[list[str], str, str]] = [
    (["call", "nothing@0", "add", "1"], "not_found", "there is no contract nothing@0; `ostraka contracts` lists"),
    (["call", "only@0", "add", "1"], "not_found", "there is no contract only@0; did you mean only@1?"),
    (["view", "nothing@1", "add"], "not_found", "there is no contract nothing@1"),
    (["contracts", "nothing@1"], "not_found", "there is no contract nothing@1"),
    (["call", "tally@0", "nothing"], "no_method", "it has add, echo, givers, pass_on, think, total"),
    (["call", "tally@0", "init"], "no_method", "tally has no method 'init'"),
    (["view", "tally@0", "add", "1"], "not_a_view", "call it with a transaction"),
    (["call", "tally@7", "add", "1"], "unknown_shard", "this testnet has 0 to 1"),
    (["call", "tally", "add", "1"], "bad_place", "on which shard is tally? Write tally@0"),
    (["call", "Tally@0", "add", "1"], "bad_name", "names no contract"),
    (["call", "tally@0", "add", "1", "--from", "zoe"], "unknown_account", "Known: alice, bob"),
    (["call", "tally@0", "add", "@zoe"], "bad_value", "there is no account 'zoe'"),
    (["call", "tally@0", "add", "1", "--value", "x"], "bad_amount", "write obols like 25"),
    (["call", "tally@0", "add", "1", "--gas", "1500001"], "bad_gas", "the most is 1,500,000"),
    (["deploy", "absent.py"], "cannot_read", "cannot read absent.py: No such file"),
    (["deploy", "."], "cannot_read", "Is a directory"),
    (["deploy", "tally.py", "--name", "x@0", "--shard", "1"], "bad_place", "say it once"),
    (["upgrade", "tally.py", "--name", "tally"], "bad_place", "on which shard is tally?"),
    (["contracts", "--source"], "usage", "say of which contract"),
    (["topup", "00" * 32, "5"], "unknown_call", "on no shard a contract ran for 00"),
    (["topup", "zz", "5"], "bad_id", "64 hexadecimal digits"),
    (["gas", "--compare", "absent.json"], "cannot_read", "absent.json"),
    (["gas", "--compare", "tally.py"], "bad_report", "no report that `ostraka gas --save` wrote"),
    (["replay", "00" * 32, "--pdb", "--json"], "usage", "a conversation"),
]


@pytest.fixture(scope="module")
def only(net: Shell) -> Shell:
    """With a contract that only shard 1 has."""
    net.run("deploy", "tally.py", "--name", "only@1")
    return net


@pytest.mark.parametrize(("arguments", "code", "told"), WRONG, ids=[" ".join(each[0])[:40] for each in WRONG])
def test_what_is_asked_wrongly_is_told_before_it_costs_anything(
    only: Shell, arguments: list[str], code: str, told: str
) -> None:
    failed = only.json(*arguments, *(["--json"] if "--json" not in arguments else []), code=2)["error"]
    assert (failed["code"], failed["fault"]) == (code, "yours")
    assert told in failed["detail"]


LEDGER_SAYS_NO: list[tuple[list[str], str]] = [
    (["call", "tally@0", "add"], "TypeError"),
    (["call", "tally@0", "add", "1", "2"], "TypeError"),
    (["call", "tally@0", "add", "300"], "TooMuch"),
    (["call", "tally@0", "add", "1", "--gas", "1000"], "OutOfGas"),
    (["call", "tally@0", "pass_on", "9", "1"], "CallFailed"),
    (["deploy", "tally.py", "--name", "tally@0"], "name_taken"),
    (["deploy", "tally.py", "--name", "w@0", "--args", '["a", "b"]'], "TypeError"),
    (["deploy", "broken.py", "--no-check"], "compile_error"),
    (["upgrade", "tally.py", "--name", "nothing@0"], "no_contract"),
]


@pytest.mark.parametrize(("arguments", "told"), LEDGER_SAYS_NO, ids=[" ".join(each[0])[:40] for each in LEDGER_SAYS_NO])
def test_what_the_ledger_or_the_contract_refuses_is_on_the_record_with_exit_code_1(
    net: Shell, arguments: list[str], told: str
) -> None:
    write(net, "broken.py", "def f(:\n")
    failed = net.json(*arguments, code=1)
    assert failed["outcome"] == "failed"
    assert told in (failed["error"], failed["detail"].partition(":")[0])
    assert net.json("trace", failed["id"])["state"] == "failed"


def test_mistakes_are_found_before_anything_is_sent(net: Shell) -> None:
    write(net, "broken.py", "def f(:\n")
    failed = error(net, "deploy", "broken.py", code=1)
    assert (failed["code"], failed["detail"]) == (
        "check_failed",
        "broken.py:1:7: error: invalid syntax [syntax]; --no-check sends it nevertheless",
    )
    racy = "from ostraka_contract import call, get, put\n\n\nasync def m():\n    n = get('n')\n"
    racy += "    await call(0, 'tally', 'total')\n    put('n', n + 1)\n"
    warned = net.json("deploy", write(net, "racy.py", racy))
    assert warned["outcome"] == "settled"
    assert [finding["line"] for finding in warned["findings"]] == [7]
