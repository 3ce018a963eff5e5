"""The programs in protocol/examples do what they say: they own a daemon, and print what a learner would answer."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from handicapper.actors import verify_state

from .driving import NODE_MODULES, run
from .story import GAMES, EmbeddedLearner, lessons, questions

EXAMPLES = Path(__file__).parents[2] / "protocol" / "examples"
CRATES = Path("/usr/share/cargo/registry")
HANDICAPPER = [sys.executable, "-m", "handicapper.bin"]
EVENTS = [
    "hello",
    "recorded",
    "subscribed",
    "resolved",
    "changed",
    "params",
    "ranked",
    "signal",
    "refused",
    "stopped",
]


@dataclass
class Printed:
    """The lines of an example, ``event name=value …``, by event."""

    lines: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def parse(cls, output: str) -> Printed:
        printed = cls()
        for line in output.splitlines():
            event, *words = line.split()
            printed.lines[event].append(dict(word.split("=", 1) for word in words if "=" in word))
        return printed

    def floats(self, event: str, *names: str) -> list[list[float]]:
        return [[float(line[name]) for name in names] for line in self.lines[event] if names[0] in line]


@pytest.fixture(scope="session")
def rust_example(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Built from Debian's packages of the crates, without a network."""
    # Debian's own compiler where it is there: it is the oldest that the crates of that release support.
    cargo = shutil.which("cargo", path="/usr/bin") or shutil.which("cargo")
    if cargo is None or not any(CRATES.glob("rmp-serde-*")):
        pytest.skip(f"no cargo, or no rmp-serde in {CRATES}; bin/foreign.sh installs them where it can")
    rustc = Path(cargo).with_name("rustc")
    target = Path(sys.prefix) / "foreign" / "rust"  # kept, so that everything is built once
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        # Another worker may want it too: one builds, and each has a copy that is not replaced under it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        source = target / "source"
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(EXAMPLES / "rust", source, ignore=shutil.ignore_patterns("target", "Cargo.lock"))
        run(
            [cargo, "build", "--release", "--offline", "--config", "debian.toml"],
            cwd=source,
            env=os.environ
            | {"CARGO_TARGET_DIR": str(target)}
            | ({"RUSTC": str(rustc)} if rustc.exists() else {}),
        )
        return [shutil.copy(target / "release" / "trader", tmp_path_factory.mktemp("rust"))]


@pytest.fixture(scope="session")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if shutil.which("node") is None or not (NODE_MODULES / "@msgpack" / "msgpack").is_dir():
        pytest.skip("no node, or no @msgpack/msgpack; bin/foreign.sh installs them where it can")
    copy = tmp_path_factory.mktemp("node") / "trader"
    shutil.copytree(EXAMPLES / "node", copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(NODE_MODULES)
    return ["node", str(copy / "trader.js")]


@pytest.fixture(params=["rust", "node"])
def example(request: pytest.FixtureRequest) -> list[str]:
    return request.getfixturevalue(f"{request.param}_example")


@pytest.fixture
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Not in tmp_path: the example puts its socket beside it, and the path of a socket must be short.
    return tmp_path_factory.mktemp("example") / "state"


@pytest.mark.parametrize("options", [[], ["--tcp"]], ids=["unix", "tcp"])
def test_example_prints_what_an_embedded_learner_answers(
    example: list[str], options: list[str], state_dir: Path, tmp_path: Path
) -> None:
    printed = Printed.parse(run([*example, str(state_dir), *options, *HANDICAPPER]))
    assert list(printed.lines) == EVENTS
    assert [line["duplicate"] for line in printed.lines["recorded"]] == ["false", "true"]
    assert printed.lines["resolved"] == [{"markets": str(GAMES), "scored": str(2 * GAMES)}]
    assert printed.lines["refused"][0]["code"] == "INVALID_VALUE"
    assert printed.lines["refused"][0]["fault"].lower() == "caller"
    assert printed.lines["stopped"] == [{"exit": "0"}]

    with EmbeddedLearner(tmp_path / "embedded") as learner:
        for method, params in lessons():
            learner.call(method, params)
        answers = [learner.call(method, params) for method, params in questions()]
    _, elo, vegas, stranger, selection, taken, refused, _ = answers
    assert stranger is None
    assert printed.lines["params"][2] == {"model": "stranger"}
    params = ("confidence_threshold", "weight", "ema_accuracy")
    assert printed.floats("params", "threshold", "weight", "ema_accuracy") == [
        [learned[name] for name in params] for learned in (elo, vegas)
    ]
    # The learner drew three times here and the example once: the first draw is the same.
    assert [line["model"] for line in printed.lines["ranked"]] == [
        it["model_id"] for it in selection["ranked"]
    ]
    assert printed.floats("ranked", "sample", "alpha", "beta") == [
        [it["sample"], it["alpha"], it["beta"]] for it in selection["ranked"]
    ]
    assert [line["reason"] for line in printed.lines["signal"]] == [taken["reason"], refused["reason"]]
    assert printed.floats("signal", "threshold", "multiplier") == [
        [it["confidence_threshold"], it["size_multiplier"]] for it in (taken, refused)
    ]


def test_example_leaves_a_state_that_verifies(example: list[str], state_dir: Path) -> None:
    run([*example, str(state_dir), *HANDICAPPER])
    report = verify_state(state_dir)
    assert report.ok
    # The first record is that of the rules, the last two are signals; what was told twice was recorded once.
    assert report.last_seq - report.first_seq == 3 * GAMES + 2


def test_example_run_again_finds_everything_recorded(example: list[str], state_dir: Path) -> None:
    """Repeating inputs is safe: a trader that was killed may tell its whole day again."""
    first = Printed.parse(run([*example, str(state_dir), *HANDICAPPER]))
    again = Printed.parse(run([*example, str(state_dir), *HANDICAPPER]))
    assert [line["duplicate"] for line in again.lines["recorded"]] == ["true", "true"]
    assert again.lines["resolved"] == [{"markets": str(GAMES), "scored": "0"}]
    assert again.lines["params"] == first.lines["params"]
    assert again.lines["ranked"] == first.lines["ranked"]
    assert again.lines["signal"] == first.lines["signal"]


def test_example_says_why_its_daemon_did_not_start(example: list[str], state_dir: Path) -> None:
    with pytest.raises(AssertionError, match=r"the daemon did not start: exit.* 3"):
        run([*example, str(state_dir), "sh", "-c", "exit 3"])
