"""A daemon of its own for every test, and the address to reach it at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..protocol.daemon import Daemon


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    # Not in tmp_path: a test's name is long, and the path of a unix socket must be short.
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    try:
        yield daemon
        assert daemon.stop() == 0, daemon.log()[-5000:]
    finally:
        daemon.kill()


@pytest.fixture(params=["unix", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param
