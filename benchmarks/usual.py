"""Yardstick B, usual: a communication round the way published code commonly writes it.

Images go through PIL transforms and a DataLoader one by one, every step reads its loss with ``.item()``, every client
trains a deep copy of the global model, state dicts travel to the CPU and back, and the server averages them tensor by
tensor. ``bf16`` gives the same round at the harness's precision and memory format, to tell loop from arithmetic.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms


class PILImages(Dataset[tuple[Tensor, int]]):
    """Images that are transformed one by one, as torchvision's data sets do.

    Args:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        moments: mean and standard deviation per channel of pixels in [0, 1].
        training: whether to crop and mirror.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, moments: tuple[Sequence[float], Sequence[float]], training: bool
    ) -> None:
        self._images, self._labels = images, labels
        size = images.shape[1]
        crops = [transforms.RandomCrop(size, padding=4), transforms.RandomHorizontalFlip()] if training else []
        self._transform = transforms.Compose([*crops, transforms.ToTensor(), transforms.Normalize(*moments)])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def usual_round(
    model: nn.Module,
    train: PILImages,
    clients: Sequence[Sequence[int]],
    test: PILImages,
    *,
    steps: int,
    batch: int,
    lr: float,
    momentum: float,
    device: torch.device,
    bf16: bool,
) -> float:
    """Train every client, average, evaluate; return the test accuracy in [0, 1].

    Args:
        model: the global model, replaced in place by the average.
        train: training images of all clients.
        clients: positions of each client's images.
        test: test images.
        steps, batch, lr, momentum: of every client's SGD.
        device: where to train.
        bf16: bf16 autocast and channels-last images instead of fp32 and NCHW.
    """
    states, sizes = [], []
    for indices in clients:
        loader = DataLoader(Subset(train, list(indices)), batch_size=batch, shuffle=True)
        states.append(_train_client(copy.deepcopy(model), loader, steps, lr, momentum, device, bf16))
        sizes.append(len(indices))
    average = copy.deepcopy(states[0])
    for name in average:
        if average[name].is_floating_point():
            average[name] = torch.zeros_like(average[name])
            for state, n in zip(states, sizes, strict=True):
                average[name] += state[name] * (n / sum(sizes))
    model.load_state_dict(average)
    return _accuracy(model, DataLoader(test, batch_size=batch), device, bf16)


def _train_client(
    model: nn.Module, loader: DataLoader[tuple[Tensor, int]], steps: int, lr: float, momentum: float,
    device: torch.device, bf16: bool,
) -> dict[str, Tensor]:  # fmt: skip
    model.to(device).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    done, losses = 0, []
    while done < steps:
        for images, labels in loader:
            images, labels = _placed(images, device, bf16), labels.to(device)
            optimiser.zero_grad()
            with _autocast(device, bf16):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            done += 1
            if done == steps:
                break
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def _accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, int]], device: torch.device, bf16: bool) -> float:
    model.to(device).eval()
    correct = seen = 0
    with torch.no_grad():
        for images, labels in loader:
            with _autocast(device, bf16):
                predicted = model(_placed(images, device, bf16)).argmax(1)
            correct += (predicted == labels.to(device)).sum().item()
            seen += len(labels)
    return correct / seen


def _placed(images: Tensor, device: torch.device, bf16: bool) -> Tensor:
    return images.to(device, memory_format=torch.channels_last) if bf16 else images.to(device)


def _autocast(device: torch.device, bf16: bool) -> torch.autocast | nullcontext[None]:
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
