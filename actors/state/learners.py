"""Whatever learns from journaled inputs: every model, and the pool of them; told apart by id."""

from __future__ import annotations

from typing import Any

from ...config.rules import LearningRules
from .model_state import ModelRecord, ModelState
from .pool_row import POOL_ID
from .pool_state import PoolRecord, PoolState

__all__ = ["LearnerRecord", "LearnerState", "new_state", "public_name", "state_of_record"]

LearnerState = ModelState | PoolState
LearnerRecord = ModelRecord | PoolRecord


def new_state(model_id: str, rules: LearningRules) -> Any:
    """A :data:`LearnerState` that has learned nothing yet.

    >>> from handicapper.config import default_settings
    >>> rules = default_settings().learning_rules()
    >>> type(new_state("elo", rules)).__name__, type(new_state(POOL_ID, rules)).__name__
    ('ModelState', 'PoolState')
    """
    return PoolState(rules) if model_id == POOL_ID else ModelState(model_id, rules)


def state_of_record(record: LearnerRecord, rules: LearningRules) -> Any:
    """The :data:`LearnerState` a record was made from; ``rules`` are those in force at its ``applied_seq``."""
    if isinstance(record, PoolRecord):
        return PoolState.from_record(record, rules)
    return ModelState.from_record(record, rules)


def public_name(model_id: str) -> str:
    """How what learns is named to people.

    >>> public_name("elo"), public_name(POOL_ID)
    ('elo', '(pool)')
    """
    return "(pool)" if model_id == POOL_ID else model_id
