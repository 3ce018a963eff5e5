from __future__ import annotations

import json

from handicapper.bin.cli import main
from handicapper.config import default_settings, load_settings, parse_settings


def test_config_check_of_the_shipped_settings_is_ok(capsys):
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "the shipped settings: ok\n"


def test_config_check_of_a_bad_file_names_every_problem_on_its_line_and_exits_78(tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text("[online_learning]\nema_alpha = 2\n[online_learning.thresholds]\nmax_treshold = 1\n")
    assert main(["config", "check", str(path)]) == 78
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert len(lines) == 2
    assert all(each.startswith(f"handicapper: SETTINGS_INVALID {path}: ") for each in lines)


def test_config_check_as_json_lists_the_problems(tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text("[online_learning]\nema_alpha = 2\n")
    assert main(["config", "check", str(path), "--json"]) == 78
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert len(told["problems"]) == 1


def test_config_check_of_a_file_that_is_not_there_exits_78(tmp_path, capsys):
    assert main(["config", "check", str(tmp_path / "none.toml")]) == 78
    assert "none.toml" in capsys.readouterr().err


def test_config_show_prints_a_settings_file_that_reads_back(tmp_path, capsys):
    assert main(["config", "show"]) == 0
    assert parse_settings(capsys.readouterr().out) == default_settings()
    path = tmp_path / "mine.toml"
    path.write_text("[online_learning]\nema_alpha = 0.25\ndecay_half_life_hours = inf\n")
    assert main(["config", "show", str(path)]) == 0
    assert parse_settings(capsys.readouterr().out) == load_settings(path)


def test_config_show_as_json_keeps_infinity(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text("[online_learning]\ndecay_half_life_hours = inf\n")
    assert main(["config", "show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["online_learning"]["decay_half_life_hours"] == "inf"
