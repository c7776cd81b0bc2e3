"""What methods cost, and whether they cost more than before."""

from pathlib import Path

import pytest

from primitives.errors import Refused
from shards.node.api_contracts import PlacedRun
from testnet.gas_report import Change, GasReport, MethodGas, compare, load_report, save_report, summarize


def run(call: int, gas: int, *, number: int = 0, state: str = "completed", method: str = "buy") -> PlacedRun:
    return PlacedRun(
        height=1,
        call_id=f"{call:064x}",
        contract="shop",
        method=method,
        run=number,
        state=state,
        gas_used=gas,
    )


def test_a_calls_gas_is_that_of_all_its_runs() -> None:
    runs = [
        run(1, 100, state="suspended"),
        run(2, 30),
        run(1, 50, number=1, state="suspended"),
        run(1, 25, number=2, state="failed"),
    ]
    assert summarize(0, runs) == {"shop@0.buy": MethodGas(calls=2, failed=1, least=30, median=30, most=175)}


def test_calls_that_have_not_ended_or_began_before_are_left_out() -> None:
    assert summarize(0, [run(1, 100, state="suspended"), run(2, 5, number=1), run(3, 5, state="starved")]) == {}


@pytest.mark.parametrize(
    ("costs", "median"), [([7], 7), ([1, 9], 1), ([3, 1, 2], 2), ([5, 5, 5, 100], 5), ([1, 2, 3, 4, 5], 3)]
)
def test_the_median_is_a_cost_that_occurred(costs: list[int], median: int) -> None:
    found = summarize(1, [run(call, gas) for call, gas in enumerate(costs)])["shop@1.buy"]
    assert (found.least, found.median, found.most) == (min(costs), median, max(costs))


def gas(median: int) -> MethodGas:
    return MethodGas(calls=1, failed=0, least=median, median=median, most=median)


def test_a_report_is_compared_with_one_that_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "gas.json"
    before = GasReport(methods={"a": gas(100), "gone": gas(1), "same": gas(5)})
    save_report(before, file)
    assert load_report(file) == before
    changes = compare(load_report(file), GasReport(methods={"a": gas(105), "new": gas(9), "same": gas(5)}))
    assert [change.method for change in changes] == ["a", "gone", "new", "same"]
    assert [change.method for change in changes if change.is_regression(0)] == ["a"]
    assert [change.method for change in changes if change.is_regression(4)] == ["a"]
    assert [change.method for change in changes if change.is_regression(5)] == []
    assert not Change("a", gas(100), gas(99)).is_regression(0)


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot read"):
        load_report(tmp_path / "none")
    for text in ("", "[]", '{"format": "other", "methods": {}}', "\xff"):
        file = tmp_path / "bad"
        file.write_text(text, encoding="latin-1")
        with pytest.raises(Refused, match="is no report"):
            load_report(file)
    with pytest.raises(Refused, match="cannot write"):
        save_report(GasReport(methods={}), tmp_path / "no" / "folder")
