"""What a host notices of an embedded learner: a light import, silence, one logger, and a complete wheel."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handicapper.actors import Learner

from .helpers import DEADLINE_SECONDS, outcome, small_settings, teach
from .test_supervision import raising_fold

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., Learner]


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )


def test_import_is_silent_and_light() -> None:
    """scipy.stats alone would cost 98 MiB and more than a second."""
    done = _python(
        "import sys, handicapper.actors\n"
        "heavy = ['scipy.stats', 'click', 'matplotlib', 'scipy.integrate', 'scipy.optimize']\n"
        "assert not [name for name in heavy if name in sys.modules], [n for n in heavy if n in sys.modules]"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_starts_no_thread_and_touches_neither_logging_nor_signals() -> None:
    done = _python(
        "import logging, signal, threading\n"
        "before = [signal.getsignal(s) for s in signal.valid_signals()]\n"
        "import handicapper.actors\n"
        "assert threading.active_count() == 1\n"
        "assert logging.getLogger().handlers == []\n"
        "assert before == [signal.getsignal(s) for s in signal.valid_signals()]"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_host_without_logging_sees_nothing_printed_even_of_errors(tmp_path: Path) -> None:
    """Python prints warnings nobody handles to stderr, unless the library has a null handler."""
    done = _python(
        "from handicapper.actors import Learner\n"
        "from handicapper.actors.state import model_state\n"
        "def broken(*_, **__): raise RuntimeError('the fold broke')\n"
        "model_state.fold_row = broken\n"
        f"with Learner({str(tmp_path / 'state')!r}) as learner:\n"
        "    learner.record_outcome(prediction_id='p', model_id='m', predicted_outcome='Y',\n"
        "                           actual_outcome='Y', resolved_at=0)\n"
        "    learner.report('m')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_log_records_come_from_our_loggers_only(open_learner: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        learner = open_learner(settings=small_settings(supervision={"restarts_max": 1}))
        teach(learner, "m", range(10))
        with raising_fold():
            learner.record_outcome(outcome(100, confidence=0.123))
            learner.report("m")
        learner.close()
    names = {record.name for record in caplog.records}
    assert names
    assert all(name == "handicapper" or name.startswith("handicapper.") for name in names), names
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "model=m" in text
    assert "opened" in text
    assert "closed" in text


def test_logging_is_left_as_the_host_set_it(open_learner: Open) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("handicapper").level)
    open_learner().record_outcome(outcome(1))
    assert (root.level, list(root.handlers), logging.getLogger("handicapper").level) == before


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built without a network from a copy of what git would take."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source") / "handicapper"
    source.mkdir()
    for name in ("actors", "protocol", "config", "bin"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        # Cython may be missing: a wheel is complete without anything compiled.
        [
            *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"),
            *("--outdir", str(out), str(source)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and "Cannot import 'setuptools" in done.stdout + done.stderr:
        pytest.skip("the build backend is not installed, and this test uses no network")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        yield archive


def test_every_folder_of_modules_is_listed_as_a_package() -> None:
    """setuptools leaves an unlisted sub-package out of the wheel without a word."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {
        f"handicapper.{'.'.join(path.parent.relative_to(ROOT).parts)}"
        for name in ("actors", "protocol", "config", "bin")
        for path in (ROOT / name).rglob("*.py")
    }
    assert folders == set(listed)


def test_wheel_contains_every_module_of_every_package(wheel: zipfile.ZipFile) -> None:
    expected = {
        f"handicapper/{path.relative_to(ROOT).as_posix()}"
        for name in ("actors", "protocol", "config", "bin")
        for path in (ROOT / name).rglob("*.py")
    }
    assert expected
    missing = expected - set(wheel.namelist())
    assert not missing


def test_wheel_contains_the_types_and_the_settings(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("actors", "protocol", "config", "bin"):
        assert f"handicapper/{package}/py.typed" in names
    assert "handicapper/config/online_learning.toml" in names


def test_wheel_puts_nothing_generic_into_site_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"handicapper"}
    assert not [name for name in wheel.namelist() if "tests/" in name]
