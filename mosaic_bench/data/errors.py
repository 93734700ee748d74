"""What can go wrong with data, said in one sentence each."""

from collections.abc import Iterable
from difflib import get_close_matches

from mosaic_bench.errors import UserError


class DataError(UserError):
    """Data that cannot be used: damaged, contradictory, or not enough of it for what was asked."""


class MissingData(DataError):  # noqa: N818 - named after what it reports
    """A known data set of which no copy was found."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> DataError:
    """The error for a `name` that is no `kind` ("data set", "partition"), with the nearest known name."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return DataError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
