"""What every section of a suite file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a suite: immutable, and strict about names and types: ``"5"``, ``5.0`` and ``true`` are no integers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
