"""Settings from files and texts: what cannot be read is a SettingsError that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from handicapper.config import default_settings, load_settings, parse_settings
from handicapper.protocol.errors import SettingsError


def refused(path: Path | str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert caught.value.source == str(path)
    (problem,) = caught.value.problems
    return problem


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[online_learning]\nema_alpha = 0.25\n[online_learning.limits]\nmodels_max = 5\n")

    assert load_settings(path).ema_alpha == 0.25
    assert load_settings(str(path)).limits.models_max == 5


def test_file_that_is_empty_means_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.touch()

    assert load_settings(path) == default_settings()


def test_file_with_a_byte_order_mark_and_crlf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf[online_learning]\r\nema_alpha = 0.25\r\n")

    assert load_settings(path).ema_alpha == 0.25


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.toml").startswith("the file does not exist")


def test_directory_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("this is a directory")


def test_path_through_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "cannot be read: Not a directory" in refused(tmp_path / "file" / "my.toml")


def test_path_with_a_null_byte_is_refused() -> None:
    assert "cannot be read: " in refused("my\0.toml")


def test_file_that_is_not_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.toml"
    path.write_bytes(b"[online_learning]\n# caf\xe9\n")

    assert refused(path) == "line 2 is not UTF-8 (byte 0xe9); save the file as UTF-8"


def test_file_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))

    assert refused(path) == "the file is larger than 1048576 bytes; is it the right one?"


def test_file_with_bad_values_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[online_learning]\nema_alpha = 2\n")

    with pytest.raises(SettingsError, match=f"SETTINGS_INVALID {path}: online_learning.ema_alpha was 2"):
        load_settings(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[online_learning]\nema_alpha = \n", "line 2, column 13 is not valid TOML"),
        ("[online_learning]\r\nema_alpha = \r\n", "line 2, column 13 is not valid TOML"),
        ("[online_learning", "line 1, column 17, the end, is not valid TOML"),
        (
            "[online_learning]\nenabled = true\nenabled = true",
            "line 3, column 15, the end, is not valid TOML",
        ),
        ("[a]\n[a]\n", "line 2, column 3 is not valid TOML"),
        ("a = 1\nb = " + "9" * 5000, "line 2, column 5 is not valid TOML: too many digits"),
    ],
)
def test_syntax_error_carries_line_and_column(text: str, place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, source="my.toml")

    (problem,) = caught.value.problems
    assert problem.startswith(place)
    assert caught.value.source == "my.toml"


def test_toml_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SettingsError, match="nested too deeply"):
        parse_settings("a = " + "[" * 100_000)


def test_toml_date_is_no_value_of_any_setting() -> None:
    with pytest.raises(SettingsError, match="ema_alpha was the date "):
        parse_settings("[online_learning]\nema_alpha = 2026-01-01")
