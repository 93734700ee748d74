import torch

from mosaic_bench.fed.seeds import generator, numpy_rng, seed_of, seeded


def test_a_draw_depends_on_its_seed_purpose_and_axes_only() -> None:
    base = seed_of(0, "batches", client=1, t=2)
    assert base == seed_of(0, "batches", t=2, client=1)
    others = [
        seed_of(1, "batches", client=1, t=2),
        seed_of(0, "slice", client=1, t=2),
        seed_of(0, "batches", client=2, t=1),
    ]
    assert base not in others
    assert len(set(others)) == 3


def test_seeds_stay_what_they_were() -> None:
    """A change here silently changes every result."""
    assert seed_of(0, "weights", arch="cnn") == 1452590079924966985
    assert numpy_rng(0, "clients").randint(1000, size=3).tolist() == [114, 451, 161]
    assert torch.randint(1000, (3,), generator=generator(0, "cohort", t=0)).tolist() == [376, 813, 878]


def test_global_generators_are_restored_after_a_seeded_block() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(0, "weights"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(0, "weights"):
        assert torch.equal(torch.rand(3), inside)
