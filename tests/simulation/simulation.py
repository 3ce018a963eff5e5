"""One seed: what comes in, whose turn it is and when the machine dies, all from one sequence of chances."""

from __future__ import annotations

from random import Random
from typing import Any

from handicapper.actors.state.entries import (
    ExpirePredictions,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
    SetPosterior,
    ShareChange,
)
from handicapper.config import Recalibration, Settings, Sizing, Thresholds, Weights
from handicapper.protocol.errors import HandicapperError

from ..state.samples import HOUR
from .accounts import Figures
from .memory_lmdb import Crash, Fate
from .oracle import Oracle
from .traffic import Traffic
from .world import World, settings_with

__all__ = ["SimulationError", "run_seed"]

FATES: list[Fate] = [
    "crash before",
    "crash after",
    "crash before",
    "crash after",
    "fail before",
    "fail after",
]
DONE: list[Fate] = ["done", "done"]


class SimulationError(AssertionError):
    """A seed found something; the text has the command that runs it again."""


class Simulation:
    """The scheduler of one seed."""

    def __init__(self, seed: int, figures: Figures) -> None:
        self.random = random = Random(seed)
        self.figures = figures
        self.world = World(random)
        self.world.disk.fate = self._next_fate
        self.oracle = Oracle(self.world.disk, figures)
        self.traffic = Traffic(random)
        policies = Random(f"policies of {seed}")  # apart, so that seeds go on doing what they did
        self.variants = [
            settings_with(random, **learning, **self._policies(policies)) for learning in self._learning()
        ]
        self._sharing = policies
        self.in_force = self.variants[0]
        self._fates: list[Fate] = []
        """Of the next commits."""
        self._kinds = {
            self._send: 30,
            self._signal: random.choice([2, 10]),
            self._turn: random.choice([20, 60, 150]),
            self._control: 2,
            self._change_rules: 1,
            self._advance: 3,
            self._ask: 1,
            self._snapshot: random.choice([1, 6]),
            self._crash: random.choice([0.3, 2]),
            self._tempt_fate: random.choice([0.3, 2]),
            self._break_a_fold: random.choice([0, 1]),
            self._break_a_snapshot: random.choice([0, 2]),
            self._rest: random.choice([1, 4]),
            self._reopen: 0.5,
        }
        self._weights = list(self._kinds.values())

    def _learning(self) -> list[dict[str, Any]]:
        random = self.random
        return [
            {
                "ema_alpha": random.choice([0.1, 0.3]),
                "learn_on": random.choice(["final", "final", "proposed"]),
                "decay_half_life_hours": random.choice([1.0, 168.0, float("inf")]),
                "calibration_window": random.choice([10, 100]),
                "min_predictions_for_adaptation": random.choice([0, 3]),
                "thresholds": Thresholds(
                    min_threshold=0.4, initial_threshold=random.choice([0.45, 0.6, 0.8]),
                    relaxation_half_life_hours=random.choice([None, 0.0, 24.0]),
                ),
            }
            for _ in range(2)
        ]  # fmt: skip

    def _policies(self, random: Random) -> dict[str, Any]:
        return {
            "recalibration": Recalibration(
                enabled=random.random() < 0.5,
                memory_outcomes=random.choice([20.0, 1000.0]),
                half_life_hours=random.choice([24.0, float("inf")]),
            ),
            "weights": Weights(policy=random.choice(["accuracy", "posterior", "edge"])),
            "sizing": Sizing(rule=random.choice(["confidence", "kelly"])),
        }

    def _next_fate(self) -> Fate:
        fate = self._fates.pop(0) if self._fates else "done"
        if fate.startswith("fail"):
            self.oracle.store_failed = True
        return fate

    # ----------------------------------------------------------------------- run

    def run(self, steps: int) -> None:
        """Open, take so many steps, and look at the end whether everything is as it must be."""
        with self.world.laws():
            self._open(self.in_force)
            for _ in range(steps):
                self.figures.steps += 1
                self.random.choices(list(self._kinds), self._weights)[0]()
                self.oracle.hear()
                self._mind_the_machine()
            self._fates.clear()
            self.world.failing_folds = 0
            self._begin_again()
            self._rest()
            self._repeat(len(self.oracle.acknowledged))
            self._reopen()
            self._rest()
            self.oracle.uninterrupted.look_back()

    def _mind_the_machine(self) -> None:
        if self.world.disk.crashed or (self.oracle.store_failed and self.random.random() < 0.1):
            self._begin_again()

    def _begin_again(self) -> None:
        """The process is gone; another one finds the disk as it was left."""
        self.figures.crashes += 1
        self.world.disk.lose_power()
        self._open(self.in_force if self.random.random() < 0.8 else self.random.choice(self.variants))
        if self.random.random() < 0.5:
            self._repeat(self.random.choice([3, 30]))

    def _open(self, settings: Settings) -> None:
        """Until it succeeds: a machine may die at its start as well."""
        while True:
            self.world.abandon()
            self.oracle.process_ended()
            rules = settings.learning_rules()
            if not self.oracle.slow.rules_log or self.oracle.slow.rules_log[-1][1] != rules:
                self.oracle.slow.take(RulesInForce(rules))
            try:
                self.world.open(settings)
            except (Crash, HandicapperError):
                assert self.world.disk.crashed or self.oracle.store_failed
                self.world.disk.lose_power()
                continue
            self.in_force = settings
            self.oracle.read_journal()
            return

    # --------------------------------------------------------------------- steps

    def _send(self) -> None:
        items = self.traffic.some()
        learner = self.world.learner
        self.oracle.expect(items, lambda: learner.record_each_nowait(items))

    def _signal(self) -> None:
        signals = self.traffic.signals()
        learner = self.world.learner
        self.oracle.expect(signals, lambda: learner.process_checked_nowait(signals))

    def _control(self) -> None:
        random, learner = self.random, self.world.learner
        model = random.choice([*self.traffic.models, "nobody"])
        kind = random.choice(["pause", "pause", "resume", "reset", "posterior"])
        if kind == "pause":
            until = random.choice([None, self.traffic.now + HOUR])
            pause = PauseModel(model, until, "holiday")
            self.oracle.expect([pause], lambda: learner.pause_nowait(model, until, "holiday"))
        elif kind == "resume":
            self.oracle.expect([ResumeModel(model)], lambda: learner.resume_nowait(model))
        elif kind == "posterior":
            posterior = random.choice([None, "half_life", "changepoint"])
            entry = SetPosterior(model, posterior)
            self.oracle.expect([entry], lambda: learner.set_posterior_nowait(model, posterior))
            self._share(model)
        else:
            self.oracle.expect([ResetModel(model, "drift")], lambda: learner.reset_nowait(model, "drift"))

    def _share(self, model: str) -> None:
        """Changes are shared, as if the model had found some: of times that some of the others have seen."""
        engine = self.world.learner._engine
        for _ in range(self._sharing.choice([0, 1, 3])):
            at_ns = self.traffic.now - self._sharing.choice([-HOUR, HOUR, 20 * HOUR])
            entry = ShareChange(model, at_ns, self.traffic.now, 0.99)
            self.oracle.expect([entry], lambda entry=entry: engine.submit([entry], single=True))

    def _change_rules(self) -> None:
        self.in_force = self.random.choice(self.variants)
        rules = RulesInForce(self.in_force.learning_rules())
        engine = self.world.learner._engine
        self.oracle.expect([rules], lambda: engine.submit([rules], single=True))

    def _ask(self) -> None:
        """Questions are answered, whatever happens beside them."""
        learner, model = self.world.learner, self.random.choice(self.traffic.models)
        self.oracle.expect_an_answer(learner.get_adaptive_params_nowait(model))
        self.oracle.expect_an_answer(learner.thompson_sample_nowait(as_of=self.traffic.now))

    def _turn(self) -> None:
        self.world.turn()

    def _advance(self) -> None:
        """Time passes while nothing is on its way to the router, so that it is known what expires."""
        if self.world.router_at_rest:
            self.world.advance(self.random.choice([1.0, 70.0, 3_600.0, 40 * 3_600.0]))
            if not self.world.router_at_rest:
                self._let_expire()

    def _let_expire(self) -> None:
        """A snapshot was asked for: the router lets go of what has expired first."""
        now_ns = self.world.clock.now_ns()
        if self.oracle.slow.anything_expired(now_ns):
            self.oracle.slow.take(ExpirePredictions(now_ns))

    def _snapshot(self) -> None:
        self._let_expire()
        self.oracle.expect_an_answer(self.world.learner.snapshot_nowait())
        self.figures.snapshots += 1

    def _crash(self) -> None:
        """Between two turns."""
        self.world.disk.crashed = True

    def _tempt_fate(self) -> None:
        """Within one of the next commits."""
        if not self._fates and not self.oracle.store_failed:
            self._fates = [*DONE[: self.random.randrange(3)], self.random.choice(FATES)]

    def _break_a_fold(self) -> None:
        """A model raises, once or a few times, and is rebuilt."""
        self.world.failing_folds = self.random.choice([1, 1, 3])

    def _break_a_snapshot(self) -> None:
        """What it was to save is to be saved by the next one."""
        self.world.failing_snapshots = 1

    def _rest(self) -> None:
        """Let everything come to an end, and look at all of it."""
        self.world.settle()
        if self._sound:
            self.oracle.look(self.world.learner)
            if self.random.random() < 0.4:
                self._rest_after_snapshot()

    def _rest_after_snapshot(self) -> None:
        self.world.failing_snapshots = 0
        self._snapshot()
        self.world.settle()
        if self._sound:
            self.oracle.look(self.world.learner)
            self.oracle.look_at_memory(self.world.learner)

    @property
    def _sound(self) -> bool:
        return not (self.world.disk.crashed or self.oracle.store_failed)

    def _repeat(self, count_max: int) -> None:
        """Send again what was acknowledged: nothing may be counted again."""
        items = self.oracle.repeats(count_max, self.random)
        learner = self.world.learner
        self.oracle.expect(items, lambda: learner.record_each_nowait(items))

    def _reopen(self) -> None:
        """Close as one should, and open again."""
        self.world.failing_snapshots = 0
        self._let_expire()
        try:
            self.world.close()
        except (Crash, HandicapperError):
            assert not self._sound
        self.oracle.hear()
        unanswered = self.oracle.unanswered
        assert self.world.disk.crashed or not unanswered, f"{unanswered} calls were not answered"
        if self._sound:
            self.oracle.read_journal()
            assert self.oracle.durable_seq == self.oracle.slow.seq
        self.world.disk.lose_power()
        self._open(self.in_force)


def run_seed(seed: int, steps: int, figures: Figures) -> None:
    """Run one seed.

    Raises:
        SimulationError: something is not as it must be.

    """
    figures.seeds += 1
    before = figures.steps
    try:
        Simulation(seed, figures).run(steps)
    except Exception as error:
        raise SimulationError(
            f"seed {seed}, step {figures.steps - before}: {error!r:.2000}\n"
            f"again: .venv/bin/python -m tests.simulation --seed {seed} --steps {steps}"
        ) from error
