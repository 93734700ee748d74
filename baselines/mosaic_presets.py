"""Named variants of Mosaic: the published code's choices, ablations, oracles."""

from __future__ import annotations

from baselines.mosaic import Mosaic
from baselines.mosaic_statistics import StatisticsMosaic
from baselines.presets import preset

PUBLIC = Mosaic.reveals | {"public images"}
SILENT = Mosaic.reveals - {"prototypes"}  # nobody is asked for prototypes
LABELS = SILENT | {"public images", "public labels"}

# The released code's choices as far as parameters reach them (docs/mosaic.md says what differs still): a fusion that
# cannot tell experts apart, trained for few steps and by an average that remembers its initial weights; the
# Bhattacharyya distance, generators sampled uniformly, a constant rate without augmentation; no entropy term; averaged
# parameters as experts.
preset(
    Mosaic,
    "mosaic/published",
    "Mosaic (published)",
    expert_steps=None,
    expert_prior=False,
    generator_lr=2e-4,
    generator_network="dcgan",
    entropy_weight=0.0,
    diversity_weight=5.0,
    inversion_weight=0.0,
    balance=0.0,
    experts="parameters",
    calibrated=False,
    fusion="published",
    prototypes="published",
    meta_epochs=150,
    meta_batches="first",
    meta_balanced=False,
    meta_corrected=False,
    meta_held_out=0.0,
    kd_schedule="constant",
    kd_lr=1e-4,
    kd_augment=False,
    kd_balanced=False,
    js="bhattacharyya",
    sampling="uniform",
    batch_norm="keep",
)

# Ablations: one parameter each.
preset(Mosaic, "mosaic/no-meta-model", "Mosaic, no meta model", meta_epochs=0, reveals=SILENT)
preset(Mosaic, "mosaic/no-entropy", "Mosaic, no entropy term", entropy_weight=0.0)
preset(Mosaic, "mosaic/no-diversity", "Mosaic, no diversity term", diversity_weight=0.0)
preset(Mosaic, "mosaic/no-inversion", "Mosaic, no inversion term", inversion_weight=0.0)
preset(Mosaic, "mosaic/average-generator", "Mosaic, averaged generator", generators="average")
preset(Mosaic, "mosaic/own-discriminator", "Mosaic, own model as discriminator", discriminator="own")
preset(Mosaic, "mosaic/parameter-experts", "Mosaic, parameter experts", experts="parameters")
preset(Mosaic, "mosaic/uniform-fusion", "Mosaic, uniform fusion", fusion="uniform", reveals=SILENT)
preset(Mosaic, "mosaic/synthetic-prototypes", "Mosaic, synthetic prototypes", prototypes="synthetic", reveals=SILENT)

# Oracles: what real images would have given in place of generated ones, and real labels in place of prototypes.
preset(Mosaic, "mosaic/real-images", "Mosaic on real images (oracle)", images="public", reveals=PUBLIC)
preset(Mosaic, "mosaic/real-labels", "Mosaic fused on real labels (oracle)", prototypes="public", reveals=LABELS)

# Extensions.
preset(StatisticsMosaic, "mosaic/mixed-rounds", "Mosaic (class statistics, mixed rounds)", last_rounds=4, mix_rounds=4)
preset(
    StatisticsMosaic,
    "mosaic/guided-rounds",
    "Mosaic (class statistics, guided rounds)",
    generator_steps=100,
    last_rounds=21,
    mix_rounds=21,
    guidance=1.0,
    refit=True,
)
preset(
    StatisticsMosaic,
    "mosaic/statistics-real-images",
    "Mosaic (class statistics) on real images (oracle)",
    images="public",
    reveals=StatisticsMosaic.reveals | {"public images"},
)
