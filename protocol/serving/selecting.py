"""Selections: how many draws they may take, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Raw

from .. import params as p
from ..decoding import check_items
from ..errors import InvalidValueError
from .backend import Pending
from .runs import QuestionRun, Run
from .when_done import room, when_done

if TYPE_CHECKING:
    from .taking import Taking

__all__ = ["sample", "sample_many"]

MsgId = int | None
T = TypeVar("T")

SELECTION_UNITS: Final = 8
DRAWS_A_UNIT: Final = 8
"""What a selection costs of a turn, and the draws in it, measured against an input."""


def _draws(session: Taking, params: p.Sample) -> int:
    """How many draws a selection takes, if that is not too many: they are drawn in the loop's thread."""
    service = session.service
    models = service.backend.model_count()
    if params.models is not None:
        check_items("models", len(params.models), service.limits.batch_items_max)
        models = min(len(params.models), models)
    if params.n == 1:
        return models
    draws, draws_max = params.n * models, service.limits.draws_max
    if params.n > 1 and draws > draws_max:
        each = max(draws_max // max(models, 1), 1)
        expected = f"at most {draws_max} draws in all: {each} for each of {models} models"
        raise InvalidValueError("n", params.n, expected)
    return max(draws, models)


def _ask_sample(ask: Callable[..., T], params: p.Sample) -> T:
    return ask(
        params.n,
        as_of=params.as_of,
        models=params.models,
        selection_id=params.selection_id,
        seed=params.seed,
        mode=params.mode,
    )


def sample(session: Taking, msgid: MsgId, params: p.Sample, _size_bytes: int) -> None:
    """``thompson_sample``."""
    room(session)
    session.charge(SELECTION_UNITS + _draws(session, params) // DRAWS_A_UNIT)
    backend = session.service.backend
    if not session.lanes.waits("thompson_sample"):
        selection = _ask_sample(backend.thompson_sample_at_once, params)
        if selection is not None:
            session.answer(msgid, selection)
            return
    when_done(session, msgid, "thompson_sample", params, _ask_sample(backend.thompson_sample_nowait, params))


class _Samples:
    """Selections that came as one call, decoded as they are asked."""

    def __init__(self, session: Taking, raws: list[Raw]) -> None:
        self._session = session
        self._raws = raws
        self._decode = session.service.routes["thompson_sample"].decoder.decode
        self._draws = 0

    def ask(self, index: int) -> Pending:
        """Ask this one.

        Raises:
            InvalidValueError: something is wrong with it, or there are too many draws so far.

        """
        sample: p.Sample = self._decode(self._raws[index], f"samples[{index}].")
        draws, draws_max = _draws(self._session, sample), self._session.service.limits.draws_max
        self._draws += draws
        if self._draws > draws_max and len(self._raws) > 1:
            expected = f"at most {draws_max} draws in all, not {self._draws} in the first {index + 1}"
            raise InvalidValueError("samples", len(self._raws), expected)
        self._session.charge(draws // DRAWS_A_UNIT)
        return _ask_sample(self._session.service.backend.thompson_sample_nowait, sample)


def sample_many(session: Taking, msgid: MsgId, params: p.Samples, size_bytes: int) -> Run:
    """``thompson_sample_batch``."""
    room(session)
    raws = params.samples
    check_items("samples", len(raws), session.service.limits.batch_items_max)
    ask = _Samples(session, raws).ask
    return QuestionRun(session, msgid, "thompson_sample_batch", len(raws), ask, SELECTION_UNITS, size_bytes)
