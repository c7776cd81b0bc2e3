"""What a hunt has come to: which seeds saw which bug, what is left to run, and the table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.hunt.suspects import Suspect
from tests.hunt.trials import Trial, TrialResult

Results = Mapping[tuple[str, int], TrialResult]
"""By name and seed."""


@dataclass(frozen=True)
class Score:
    """How one bug did."""

    suspect: Suspect
    run: tuple[int, ...]
    """The seeds that were run with it and without it, and were clean without it."""
    kills: tuple[TrialResult, ...]
    """By those that saw it, in their order."""

    @property
    def seeds(self) -> int:
        """How many seeds count."""
        return len(self.run)

    @property
    def checkers(self) -> str:
        """Who saw it first, how often: `S4 7, A1 2`."""
        counts = Counter(kill.checker for kill in self.kills)
        return ", ".join(f"{name} {count}" for name, count in counts.most_common())

    @property
    def per_100(self) -> int:
        """Seeds of a hundred that see it."""
        return round(100 * len(self.kills) / self.seeds) if self.seeds else 0

    @property
    def is_stale(self) -> bool:
        """Whether its recorded witness was run and does not see it so any more, or nothing is known to see it."""
        recorded = self.suspect.recorded
        if recorded is None:
            return not self.suspect.witness and bool(self.run)
        seed, checker = recorded
        return seed in self.run and [kill.checker for kill in self.kills if kill.seed == seed] != [checker]

    def witness(self) -> str:
        """The line for `testnet/simulator/mutants.py`."""
        if not self.kills:
            return f"    # {self.suspect.name}: not seen by {self.seeds} seeds"
        first = self.kills[0]
        return f'    "{self.suspect.name}": ({first.seed}, "{first.checker}"),  # {first.detail[:60]}'

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {
            "mutant": self.suspect.name,
            "part": self.suspect.part,
            "witness": self.suspect.witness,
            "seeds": self.seeds,
            "killed": len(self.kills),
            "per_100": self.per_100,
            "checkers": dict(Counter(kill.checker for kill in self.kills)),
            "first": None if not self.kills else [self.kills[0].seed, self.kills[0].checker, self.kills[0].detail],
        }


def score_of(suspect: Suspect, results: Results) -> Score:
    """Count the seeds of a suspect."""
    run, kills = [], []
    for result in sorted((each for (name, _), each in results.items() if name == suspect.name), key=_seed):
        ground = results.get((suspect.ground, result.seed))
        if ground is not None and not ground.checker:
            run.append(result.seed)
            if result.checker:
                kills.append(result)
    return Score(suspect, tuple(run), tuple(kills))


def left(chosen: Sequence[Suspect], seeds: Iterable[int], results: Results, *, until_killed: bool) -> Iterator[Trial]:
    """Hand out what is left, seed by seed; `results` may grow meanwhile, and what they have decided is left out."""
    grounds: set[tuple[str, int]] = set()
    for seed in seeds:
        for suspect in chosen:
            if until_killed and score_of(suspect, results).kills:
                continue
            ground = (suspect.ground, seed)
            if ground not in grounds and ground not in results:
                grounds.add(ground)
                yield Trial(suspect.name, seed, is_clean=True)
            if (suspect.name, seed) not in results:
                yield Trial(suspect.name, seed, is_clean=False)


def unsound(chosen: Sequence[Suspect], results: Results) -> list[TrialResult]:
    """Runs without any bug in which something was seen: they come before everything else."""
    grounds = {suspect.ground for suspect in chosen}
    return sorted((each for (name, _), each in results.items() if name in grounds and each.checker), key=_seed)


def table(scores: Sequence[Score]) -> str:
    """Write Markdown: a row for each bug, and one for all."""
    lines = ["| Mutant | Part | Witness | Seen by | Killed by |", "|---|---|---|---|---|"]
    lines += [
        f"| {score.suspect.name} | {score.suspect.part} | {score.suspect.witness or '–'} | {score.checkers or '–'} "
        f"| {len(score.kills)} of {score.seeds} seeds |"
        for score in scores
    ]
    killed = [score for score in scores if score.kills]
    runs, kills = sum(score.seeds for score in scores), sum(len(score.kills) for score in scores)
    lines.append(
        f"| **{len(killed)} of {len(scores)} mutants** ({_percent(len(killed), len(scores))} %) | | | "
        f"| {kills} of {runs} runs: {_percent(kills, runs)} per 100 seeds |"
    )
    return "\n".join(lines)


def _percent(some: int, all_of_them: int) -> int:
    return round(100 * some / all_of_them) if all_of_them else 0


def _seed(result: TrialResult) -> int:
    return result.seed
