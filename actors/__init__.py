"""The learner and what it is made of.

Reading order: :mod:`.learner` (the facade), :mod:`.engine` (how it is put together), :mod:`.router`,
:mod:`.model`, :mod:`.selector`, :mod:`.persister`, :mod:`.supervisor` (the actors), :mod:`.state` (what they
decide), :mod:`.learning` (the maths), :mod:`.runtime` (actors in general), :mod:`.journal` (the door to what is
durable), :mod:`.log_file` (where that is first), :mod:`.store` (LMDB, which takes it over).
"""

from __future__ import annotations

from .backup import backup_state
from .learner import Learner
from .settings_change import SettingsChange
from .verify import verify_state
from .watching import (
    ActorRecovered,
    ActorStuck,
    DriftDetected,
    LearnerEvent,
    ModelFailed,
    ModelPaused,
    ModelPosteriorSet,
    ModelReset,
    ModelRestarted,
    ModelResumed,
    ParametersTouched,
)

__all__ = [
    "ActorRecovered",
    "ActorStuck",
    "DriftDetected",
    "Learner",
    "LearnerEvent",
    "ModelFailed",
    "ModelPaused",
    "ModelPosteriorSet",
    "ModelReset",
    "ModelRestarted",
    "ModelResumed",
    "ParametersTouched",
    "SettingsChange",
    "backup_state",
    "verify_state",
]
