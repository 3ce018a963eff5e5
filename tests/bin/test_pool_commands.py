"""The commands about the pool, on a state directory."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from handicapper.bin.cli import main
from handicapper.bin.simulate import simulate
from handicapper.protocol.messages import PooledForecast, PoolReport

AS_OF = "2024-01-20T00:00:00Z"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "stream.csv").write_text("".join(simulate(models=3, markets=200)))
    assert main(["replay", str(folder / "stream.csv"), "--state", str(folder / "state")]) == 0
    return folder / "state"


@pytest.fixture(autouse=True)
def state(replayed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDICAPPER_STATE", str(replayed))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_pool_shows_every_models_share(capsys):
    report = msgspec.json.decode(told(capsys, "pool", "--as-of", AS_OF, "--json"), type=PoolReport)
    assert report.n == 200
    assert {share.model_id for share in report.shares} == {"noisy", "steady", "turncoat"}
    assert sum(share.share for share in report.shares) == pytest.approx(1.0)
    assert report.shares[-1].model_id == "turncoat", "it turned bad half-way"
    assert report.brier is not None
    assert report.equal_brier is not None
    assert report.brier < report.equal_brier
    lines = told(capsys, "pool", "--as-of", AS_OF).splitlines()
    assert lines[1].split() == ["markets", "learned", "from", "200"]
    assert [line.split()[0] for line in lines[-3:]] == [share.model_id for share in report.shares]


def test_combine_gives_each_outcome_a_probability(capsys):
    document = told(capsys, "combine", "sim-000007", "--as-of", AS_OF, "--json")
    pooled = msgspec.json.decode(document, type=PooledForecast)
    assert pooled.market_id == "sim-000007"
    assert pooled.probabilities.keys() == {"YES", "NO"}
    assert sum(pooled.probabilities.values()) == pytest.approx(1.0)
    assert len(pooled.members) == 3
    shown = told(capsys, "combine", "sim-000007", "--as-of", AS_OF)
    assert f"probability of {pooled.outcome}" in shown


def test_forecasts_given_are_combined(capsys):
    given = ["--forecast", "steady=HOME:0.5", "--forecast", "a=b:c=AWAY:0.4", "--outcome", "DRAW"]
    pooled = msgspec.json.decode(told(capsys, "combine", *given, "--json"), type=PooledForecast)
    assert pooled.market_id is None
    assert {(member.model_id, member.outcome) for member in pooled.members} == {
        ("steady", "HOME"),
        ("a=b:c", "AWAY"),
    }
    assert pooled.probabilities.keys() == {"HOME", "AWAY", "DRAW"}


def test_what_a_single_outcome_leaves_is_shown(capsys):
    assert "probability of others" in told(capsys, "combine", "--forecast", "steady=HOME:0.7")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["combine"], 64, "give a MARKET, or one --forecast or more"),
        (["combine", "k", "--forecast", "a=b:0.5"], 64, "and not both"),
        (["combine", "--forecast", "a=b"], 64, "MODEL=OUTCOME:PROBABILITY"),
        (["combine", "--forecast", "a:0.5"], 64, "MODEL=OUTCOME:PROBABILITY"),
        (["combine", "--forecast", "a=b:much"], 64, "MODEL=OUTCOME:PROBABILITY"),
        (["combine", "--forecast", "a=b:1.5"], 65, "predictions[0].confidence"),
        (["combine", "nowhere"], 66, "UNKNOWN_MARKET"),
    ],
)
def test_what_is_wrong_is_named(arguments, status, said, capsys):
    assert main(arguments) == status
    assert said in capsys.readouterr().err


def test_json_of_both_is_one_document(capsys):
    for command in (["pool"], ["combine", "--forecast", "a=b:0.5"]):
        json.loads(told(capsys, *command, "--json"))
