import os

import pytest

from mosaic_bench.data import check_present, data_directories


@pytest.mark.skipif(not os.environ.get("CI"), reason="only continuous integration promises real data")
@pytest.mark.parametrize("name", ["fmnist", "cifar10-small", "tiny_imagenet"])
def test_real_data_is_visible_in_continuous_integration(name: str) -> None:
    """Without this, a variable that never reaches the tests would turn every test on real images into a skip."""
    assert check_present(name, data_directories()) is None
    assert os.environ.get("MOSAIC_BENCH_REQUIRE_DATA") == "1"
