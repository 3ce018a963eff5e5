"""Structured log records of the actors; see :mod:`handicapper.protocol.log`."""

from __future__ import annotations

from ..protocol.log import get_logger

__all__ = ["get_logger"]
