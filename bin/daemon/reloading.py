"""The settings a daemon runs with, and reading them again while it does."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from ...actors.log import get_logger
from ...config import load_settings, settings_to_dict
from ...protocol.errors import HandicapperError, SettingsError
from ...protocol.messages import ConfigReply
from .sdnotify import ServiceManager

if TYPE_CHECKING:
    from ...actors import Learner

__all__ = ["Reloading"]

_log = get_logger("daemon")


class Reloading:
    """Reads the settings file again on request: one at a time, and again if asked meanwhile.

    What is wrong is refused as a whole: the settings in force stay.
    """

    def __init__(self, learner: Learner, config_file: str | None, manager: ServiceManager) -> None:
        self._learner = learner
        self._config_file = config_file
        self._manager = manager
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self._needs_restart: tuple[str, ...] = ()

    def ask(self) -> None:
        """Reload soon. On the loop's thread."""
        self._asked = True
        if self._task is None:
            self._task = asyncio.create_task(self._reload_while_asked())

    def config(self) -> ConfigReply:
        """The settings in force."""
        settings = _finite(settings_to_dict(self._learner.settings))
        return ConfigReply(settings=settings, source=self._config_file, needs_restart=self._needs_restart)

    async def _reload_while_asked(self) -> None:
        try:
            while self._asked:
                self._asked = False
                self._manager.reloading()
                status = await self._reload()
                self._manager.ready(status)
        finally:
            self._task = None

    async def _reload(self) -> str:
        if self._config_file is None:
            _log.warning("nothing to reload: started without a settings file (--config)")
            return "serving; no settings file to reload"
        try:
            wanted = load_settings(self._config_file)
            # In a thread, because it waits until the change is durable.
            change = await asyncio.to_thread(self._learner.apply_settings, wanted)
        except SettingsError as error:
            _log.error(
                "settings refused, the old ones stay", source=self._config_file, problems=list(error.problems)
            )
            return f"serving; settings refused: {error.message}"
        except HandicapperError as error:
            _log.error("settings not applied", source=self._config_file, error=str(error))
            return f"serving; settings not applied: {error}"
        self._needs_restart = change.needs_restart
        _log.info(
            "settings reloaded",
            source=self._config_file,
            applied=list(change.applied),
            needs_restart=list(change.needs_restart),
        )
        waiting = f", {len(change.needs_restart)} need a restart" if change.needs_restart else ""
        return f"serving; settings reloaded, {len(change.applied)} applied{waiting}"


def _finite(value: Any) -> Any:
    """Infinity as a word: not every client's language has it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
