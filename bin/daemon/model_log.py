"""What became of models, in the log: one record for each word of an operator, and for what was learned.

At debug level only: as long as somebody listens, the learner looks up after every commit which models learned
from it. Models restarted and given up are in the log at any level, by their supervisor.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ...actors.log import get_logger
from ...actors.watching import (
    LearnerEvent,
    ModelPaused,
    ModelPosteriorSet,
    ModelReset,
    ModelResumed,
    ParametersTouched,
)

if TYPE_CHECKING:
    from ...actors import Learner

__all__ = ["log_models"]

MODELS_NAMED_MAX: Final = 20
"""Of those that one commit taught something; a record of 10,000 names would be read by nobody."""

_log = get_logger("models")


def log_models(learner: Learner) -> None:
    """Log what becomes of the learner's models, if that would be written, until the learner is closed."""
    if _log.isEnabledFor(logging.DEBUG):
        learner.watch(_told)


def _told(event: LearnerEvent) -> None:
    match event:
        case ModelPaused(model_id, until, reason):
            _log.debug("model paused", model=model_id, until=until, reason=reason)
        case ModelResumed(model_id):
            _log.debug("model resumed", model=model_id)
        case ModelReset(model_id, reason):
            _log.debug("model reset", model=model_id, reason=reason)
        case ModelPosteriorSet(model_id, posterior):
            _log.debug("posterior set", model=model_id, posterior=posterior)
        case ParametersTouched(model_ids):
            named = sorted(model_ids)[:MODELS_NAMED_MAX]
            _log.debug("models learned", models=named, count=len(model_ids))
        case _:
            return
