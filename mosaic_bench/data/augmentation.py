"""Random crops and mirror images, drawn apart from being applied."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic_bench.data.dataset import Dataset

SMALLEST_CROPPED = 8


@dataclass(frozen=True, eq=False)
class Draws:
    """What chance decided for n images.

    Attributes:
        pad: zero pixels around the image, from which its crop is cut.
        top: first row of the crop in the padded image, int64 in [0, 2·pad], shape (n,).
        left: first column, likewise.
        mirrored: whether the image is mirrored left to right, bool, shape (n,); None: no image is.
    """

    pad: int
    top: Tensor
    left: Tensor
    mirrored: Tensor | None

    def __len__(self) -> int:
        return len(self.top)

    def __getitem__(self, part: slice) -> "Draws":
        """The draws of a batch, as a part of the draws of an epoch."""
        mirrored = None if self.mirrored is None else self.mirrored[part]
        return Draws(self.pad, self.top[part], self.left[part], mirrored)

    def to(self, device: torch.device) -> "Draws":
        """The same draws on `device`, copied without waiting."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device, non_blocking=True)
        return Draws(
            self.pad, self.top.to(device, non_blocking=True), self.left.to(device, non_blocking=True), mirrored
        )


@dataclass(frozen=True)
class Augmentation:
    """Per-sample random crop of a zero-padded image and a mirror image with probability ½ (He et al., CVPR 2016, 4.2).

    Attributes:
        pad: zero pixels on every side, as torchvision's `RandomCrop(size, padding=pad)`.
        flip: whether images may be mirrored.
    """

    pad: int = 4
    flip: bool = False

    @classmethod
    def standard(cls, dataset: Dataset) -> "Augmentation | None":
        """The usual augmentation: 4 pixels at 32, the same share at other sizes, mirrored where the class survives it.

        None for points in the plane, which are not images.
        """
        if dataset.size < SMALLEST_CROPPED:
            return None
        return cls(pad=dataset.size // 8, flip=dataset.flip)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Draw for n images, usually one epoch's, from a CPU generator; the tensors are on the CPU."""
        top, left = torch.randint(0, 2 * self.pad + 1, (2, n), generator=generator)
        mirrored = torch.rand(n, generator=generator) < 0.5 if self.flip else None
        return Draws(self.pad, top, left, mirrored)
