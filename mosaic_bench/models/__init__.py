"""Client classifiers with width slices, and image generators.

Importing the package registers the architectures of the zoo. Everything here needs torch alone.
"""

from mosaic_bench.models import convnet, mobilenet, resnet  # noqa: F401  (registers the architectures)
from mosaic_bench.models.blueprint import Blueprint
from mosaic_bench.models.channels import Channels, convolution, declare_axes, linear
from mosaic_bench.models.classifier import Classifier
from mosaic_bench.models.discriminator import DCGANDiscriminator
from mosaic_bench.models.generators import DCGANGenerator, UpsamplingGenerator, init_dcgan_
from mosaic_bench.models.image_range import NormalisedImages, StandardisedImages
from mosaic_bench.models.modes import eval_mode
from mosaic_bench.models.norm import batch_norms, norm_layer, recalibrate_
from mosaic_bench.models.submodel import Slice, width_ratios
from mosaic_bench.models.zoo import ARCHITECTURES, build, find_architecture, register_architecture

__all__ = [
    "ARCHITECTURES",
    "Blueprint",
    "Channels",
    "Classifier",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "NormalisedImages",
    "Slice",
    "StandardisedImages",
    "UpsamplingGenerator",
    "batch_norms",
    "build",
    "convolution",
    "declare_axes",
    "eval_mode",
    "find_architecture",
    "init_dcgan_",
    "linear",
    "norm_layer",
    "recalibrate_",
    "register_architecture",
    "width_ratios",
]
