"""Batches made on the device that trains: no loader, no copy per image, no wait for the host."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic_bench.data.augmentation import Augmentation, Draws
from mosaic_bench.data.dataset import Dataset, Split

__all__ = ["Augmentation", "DeviceImages", "Draws", "augment"]

BRIGHTEST = 255


class DeviceImages:
    """One split of a data set as two tensors on one device.

    On the CPU both share memory with the prepared cache, so every process sees the same pages.

    Args:
        split: the images.
        dataset: whose mean and standard deviation normalise them.
        device: where the tensors live.

    Attributes:
        images: as in `Split`, shape (N, H, W, C).
        labels: int64, shape (N,).
    """

    def __init__(self, split: Split, dataset: Dataset, device: torch.device | str) -> None:
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        brightest = BRIGHTEST if self.images.dtype == torch.uint8 else 1
        std = torch.tensor(dataset.std, device=device)
        # One entry per pixel and channel: a multiply-add of equal rows is five times faster than one that broadcasts
        # over a channel axis of length three.
        pixels = dataset.size**2
        self._scale = (1 / (brightest * std)).repeat(pixels)
        self._shift = (-torch.tensor(dataset.mean, device=device) / std).repeat(pixels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, draws: Draws | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normalised images, augmented where draws are given.

        Args:
            indices: int64, shape (B,), on any device.
            draws: for these B images in this order; None leaves the images as they are.
            dtype: floating-point type of the result.

        Returns:
            (pixel / 255 − mean) / std, for points in the plane (coordinate − mean) / std, shape (B, C, H, W), in
            channels-last memory format. Padding counts as pixel value 0.
        """
        device = self.images.device
        images = self.images.index_select(0, indices.to(device, non_blocking=True))
        if draws is not None:
            images = augment(images, draws.to(device))
        flat = images.reshape(len(images), -1).float()
        normalised = torch.addcmul(self._shift, flat, self._scale).to(dtype)
        return normalised.view(images.shape).permute(0, 3, 1, 2)


def augment(images: Tensor, draws: Draws) -> Tensor:
    """Pad with zeros, crop each image at its own offset, mirror those that were drawn.

    A mirrored image is cropped after it was mirrored; its offset is uniform, so the distribution is that of
    torchvision's RandomCrop followed by RandomHorizontalFlip.

    Args:
        images: shape (B, H, W, C).
        draws: for these images, on the same device.

    Returns:
        As `images`, contiguous.
    """
    count, height, width, channels = images.shape
    image_of_draw = torch.arange(count, device=images.device)
    if draws.mirrored is not None:
        # Mirroring all and choosing later needs neither a loop nor to know on the host which were drawn.
        images = torch.cat([images, images.flip(2)])
        image_of_draw = image_of_draw + count * draws.mirrored
    padded = F.pad(images, (0, 0, draws.pad, draws.pad, draws.pad, draws.pad))
    rows, row = padded.shape[1], padded.shape[2]
    first_pixel = (image_of_draw * rows + draws.top) * row + draws.left
    if images.requires_grad:
        # The gradient of the overlapping view below goes through every window of every image: 750 of 800 ms in a step
        # of a generator. Choosing pixel by pixel gives the same values and gradients.
        window = row * torch.arange(height, device=images.device)[:, None] + torch.arange(width, device=images.device)
        pixels = (first_pixel[:, None] + window.flatten()).flatten()
        return padded.reshape(-1, channels).index_select(0, pixels).view(count, height, width, channels)
    # Row p of this overlapping view is the window whose first pixel is p, so all crops are one selection of rows: whole
    # image rows are copied at once, four times faster than indexing pixels.
    last_start = padded.numel() // channels - (height - 1) * row - width
    windows = padded.as_strided((last_start + 1, height, width * channels), (channels, row * channels, 1))
    return windows.index_select(0, first_pixel).view(count, height, width, channels)
