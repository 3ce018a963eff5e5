from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys

import pytest

from handicapper.bin.cli import main
from handicapper.bin.rows import Row, read_rows
from handicapper.bin.simulate import simulate
from handicapper.bin.stream import EventStream, ResolutionBatch


def rows_of(**arguments) -> list[Row]:
    return list(read_rows(io.StringIO("".join(simulate(**arguments))), "simulated"))


def hit_rate(rows: list[Row]) -> float:
    return sum(row.prediction.outcome == row.actual for row in rows) / len(rows)


def brier(rows: list[Row]) -> float:
    return sum(
        (row.prediction.confidence - (row.prediction.outcome == row.actual)) ** 2 for row in rows
    ) / len(rows)


def of_model(rows: list[Row], model_id: str) -> list[Row]:
    return [row for row in rows if row.prediction.model_id == model_id]


def test_simulate_with_equal_arguments_is_equal_and_with_another_seed_is_not():
    assert list(simulate(markets=50)) == list(simulate(markets=50))
    assert list(simulate(markets=50)) != list(simulate(markets=50, seed=8))


def test_simulate_does_not_depend_on_the_hash_seed_of_the_process():
    digests = set()
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-m", "handicapper.bin", "simulate", "--markets", "20"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        digests.add(hashlib.sha256(ran.stdout).hexdigest())
    assert digests == {hashlib.sha256("".join(simulate(markets=20)).encode()).hexdigest()}


def test_one_more_model_changes_nothing_of_the_others():
    few = rows_of(models=2, markets=30)
    more = [row for row in rows_of(models=7, markets=30) if row.prediction.model_id in ("steady", "turncoat")]
    assert [row[:4] for row in few] == [row[:4] for row in more]


def test_every_model_has_a_name_of_its_own():
    assert len({row.prediction.model_id for row in rows_of(models=23, markets=1)}) == 23


def test_several_markets_are_open_at_once_and_all_resolve():
    stream = EventStream(rows_of(models=1, markets=200))
    open_most = 0
    for batch in stream:
        if isinstance(batch, ResolutionBatch):
            open_most = max(open_most, stream.unresolved_events)
    assert open_most >= 10
    assert (stream.events, stream.resolutions, stream.unresolved_events) == (200, 200, 0)


def test_turncoat_is_good_before_and_guesses_after_its_turn():
    """Seeded. 2,000 markets on each side: the standard error of a hit rate is at most
    sqrt(1/4 / 2000) = 0.0112. Sign agreement of a good model here is about 0.70 (E max(p, 1-p) with
    logit p from N(0, 1.2²), less the noise), of a guess 0.5; the bounds are five standard errors off."""
    turncoat = of_model(rows_of(models=2, markets=4000), "turncoat")
    assert hit_rate(turncoat[:2000]) > 0.64
    assert abs(hit_rate(turncoat[2000:]) - 0.5) < 0.056


def test_turn_bad_at_one_never_turns():
    """Seeded; same bound as above."""
    turncoat = of_model(rows_of(models=2, markets=4000, turn_bad_at=1.0), "turncoat")
    assert hit_rate(turncoat[2000:]) > 0.64


def test_models_are_ordered_by_their_skill_and_calibrated_as_named():
    """Seeded, 4,000 markets: a mean of confidence - hit has a standard error of at most 0.0079; the
    steady model is within 0.04 (five of them), the others are off in the direction of their name."""
    rows = rows_of(markets=4000)
    errors = {}
    for model_id in ("steady", "overconfident", "underconfident"):
        mine = of_model(rows, model_id)
        errors[model_id] = sum(row.prediction.confidence for row in mine) / len(mine) - hit_rate(mine)
    assert abs(errors["steady"]) < 0.04
    assert errors["overconfident"] > 0.04
    assert errors["underconfident"] < -0.04
    assert brier(of_model(rows, "steady")) < brier(of_model(rows, "noisy"))
    assert brier(of_model(rows, "steady")) < brier(of_model(rows, "overconfident"))


def test_a_price_without_noise_is_the_true_probability():
    """Seeded: the mean of price - hit over 4,000 markets has a standard error of at most 0.0079."""
    steady = of_model(rows_of(models=1, markets=4000, price_noise=0.0), "steady")
    error = sum(float(row.prediction.price or 0) for row in steady) / len(steady) - hit_rate(steady)
    assert abs(error) < 0.04


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_simulate_to_a_file_writes_the_same_bytes_every_time(tmp_path, name):
    written = []
    for _ in range(2):
        assert main(["simulate", "--markets", "5", "--out", str(tmp_path / name)]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    content = gzip.decompress(written[0]) if name.endswith("gz") else written[0]
    assert content.decode() == "".join(simulate(markets=5))


def test_simulate_to_a_file_that_cannot_be_made_exits_73(tmp_path, capsys):
    assert main(["simulate", "--out", str(tmp_path / "none" / "out.csv")]) == 73
    assert capsys.readouterr().err.startswith("handicapper: OUTPUT_UNWRITABLE cannot write ")
