"""What can go wrong with data, said in one sentence each."""

from mosaic_bench.errors import UserError


class DataError(UserError):
    """Data that cannot be used: damaged, contradictory, or not enough of it for what was asked."""


class MissingData(DataError):  # noqa: N818 - named after what it reports
    """A known data set of which no copy was found."""
