"""What a simulation is made of, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from consensus.pacing import Rules
from testnet.simulator.drawing import draw_faults
from testnet.simulator.faults import Fault, Name, print_faults
from testnet.simulator.findings import Violation

GENESIS_TIME_MS = 1_750_000_000_000
"""Where virtual time begins; any moment would do, every run begins at the same."""

REAL_SIGNATURE_SEEDS = 20
"""One seed in so many runs with real Ed25519."""


_OPTIONS = (
    "shards", "validators", "relays", "seconds", "chaos_seconds", "transactions_per_second",
    "calls_per_minute", "accounts", "flush_blocks", "intensity", "catalogue",
)  # fmt: skip
"""Settings that are options of the command line, under the same names."""


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """One run. Equal settings give equal runs, byte for byte."""

    seed: int
    shards: int = 3
    validators: int = 4
    relays: int = 2
    seconds: int = 60
    chaos_seconds: int | None = None
    """How long faults may last; a half of the run unless said otherwise. The rest is the heal phase."""
    transactions_per_second: int = 1
    """That each shard's clients begin, until three quarters of the run are over."""
    calls_per_minute: int = 0
    """Of contracts, that each shard's customers begin beside, until three quarters of the run are over; 0: there are no
    contracts at all."""
    accounts: int = 6
    """Per shard."""
    flush_blocks: int = 8
    """The state store is written every so many blocks, as the real node does it; small, so that replay happens."""
    intensity: int = 1
    """Multiplies the chances of faults."""
    catalogue: Literal["usual", "whole"] = "usual"
    """Which faults are drawn: those of every seed, or all that there are beside, those of storage included."""
    faults: tuple[Fault, ...] | None = None
    """An explicit list instead of the drawn one."""
    crash_boundary: tuple[str, int] | None = None
    """A validator that dies at its n-th effect boundary and restarts `crash_pause_ms` later."""
    crash_pause_ms: int = 400
    byzantine_relays: tuple[str, ...] = ()
    """Behaviours in `testnet.simulator.byzantine`, one more relay for each."""
    byzantine_validators: Mapping[Name, str] = field(default_factory=dict)
    """Who is guilty, and of which behaviour in `testnet.simulator.byzantine`."""
    real_signatures: bool | None = None
    """Ed25519; left open, one seed in twenty."""
    rules: Rules = field(default_factory=Rules)

    @property
    def chaos_ms(self) -> int:
        """Length of the chaos phase."""
        return 1000 * (self.seconds // 2 if self.chaos_seconds is None else self.chaos_seconds)

    @property
    def workload_ms(self) -> int:
        """When clients stop to begin transactions."""
        return self.seconds * 750

    @property
    def signs_for_real(self) -> bool:
        """Whether signatures are Ed25519."""
        return self.seed % REAL_SIGNATURE_SEEDS == 0 if self.real_signatures is None else self.real_signatures

    def expanded(self) -> "SimulationSettings":
        """The same run with its faults as an explicit list."""
        if self.faults is not None:
            return self
        faults = draw_faults(
            self.seed,
            shards=self.shards,
            validators=self.validators,
            relays=self.relays,
            chaos_ms=self.chaos_ms,
            intensity=self.intensity,
            whole=self.catalogue == "whole",
            liars=tuple(self.byzantine_validators),
        )
        return replace(self, faults=faults)

    def command(self) -> str:
        """What to type to see this run again."""
        words = [f"python -m testnet.simulator --seed {self.seed}"]
        plain = SimulationSettings(self.seed)
        for name in _OPTIONS:
            value = getattr(self, name)
            if value != getattr(plain, name):
                words.append(f"--{name.replace('_', '-')} {value}")
        words += [f"--byzantine-relay {name}" for name in self.byzantine_relays]
        words += [f"--byzantine-validator {name}:{what}" for name, what in self.byzantine_validators.items()]
        if self.crash_boundary is not None:
            words.append(f"--crash {self.crash_boundary[0]}:{self.crash_boundary[1]}")
        if self.faults == ():
            words.append("--no-faults")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What became of a run."""

    settings: SimulationSettings
    violations: tuple[Violation, ...]
    trace_hash: str
    """SHA-256 over (time, counter, node, event, effects) of everything that happened."""
    events: int
    blocks: tuple[int, ...]
    """Finalized, per shard."""
    counts: Mapping[str, int]
    """Of faults, crashes, messages and transactions, by name."""
    latencies_ms: Mapping[str, tuple[int, ...]]
    """Sorted virtual milliseconds from submission: `finalized` of transactions, `settled` of cross-shard calls."""
    latencies_blocks: tuple[int, ...]
    """Sorted numbers of blocks that the source shard finalized between sending and settling a call."""

    @property
    def passed(self) -> bool:
        """Whether every invariant held."""
        return not self.violations

    def faults(self) -> tuple[Fault, ...]:
        """Faults of the run, drawn or given."""
        return self.settings.expanded().faults or ()

    def text(self) -> str:
        """Everything a person needs: the faults, what happened, the verdict and how to see it again."""
        lines = [f"seed {self.settings.seed}: faults", print_faults(self.faults()), ""]
        lines.append(f"blocks {' '.join(map(str, self.blocks))}   events {self.events}   trace {self.trace_hash}")
        lines.append("   ".join(f"{name} {count}" for name, count in self.counts.items()))
        for name, values in self.latencies_ms.items():
            if values:
                median, worst = values[len(values) // 2], values[-1]
                lines.append(f"{name}: {len(values)}, median {median} ms, worst {worst} ms")
        if self.latencies_blocks:
            blocks = self.latencies_blocks
            lines.append(f"settled: median {blocks[len(blocks) // 2]} blocks later, worst {blocks[-1]}")
        lines.append("")
        if self.passed:
            lines.append("every invariant held")
        else:
            lines += [f"VIOLATED {violation}" for violation in self.violations]
            lines.append(f"again: {self.settings.command()}")
        return "\n".join(lines)
