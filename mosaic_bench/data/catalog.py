"""The data sets this package knows: what they hold, where they come from, how they may be used."""

from dataclasses import dataclass
from pathlib import Path

from mosaic_bench.data.formats import (
    Cifar,
    Digits,
    Food101,
    Format,
    Idx,
    Svhn,
    TinyImageNet,
    Toy2d,
)


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        urls: where it can be had; tried in order.
        path: where it goes, relative to a data directory.
        md5: checksum of the published file, 32 hex digits.
        size: of the published file, in bytes.
        unpacks_to: the folder that extracting the archive creates beside it; None for a file that is read as it is.
    """

    urls: tuple[str, ...]
    path: str
    md5: str
    size: int
    unpacks_to: str | None = None


@dataclass(frozen=True)
class Record:
    """One data set of the catalog.

    Attributes:
        name: its name in suite files.
        title: its name in prose.
        format: reads it from disk.
        size: height and width in pixels.
        channels: 1 for grey, 3 for colour, 2 for points in the plane.
        num_classes: number of classes.
        train: number of training images as published.
        test: number of test images as published.
        mean: per channel, with pixels scaled to [0, 1]; None: measured on the training images when they are prepared.
        std: as `mean`.
        flip: whether a mirrored image still shows its class.
        licence: terms of use in one sentence.
        citation: the paper or page to cite.
        locations: where it may lie, relative to a data directory; the first is where `data fetch` puts it.
        installed: where a system package puts it.
        files: what `data fetch` downloads; empty for data that is bundled or made by a formula.
    """

    name: str
    title: str
    format: Format
    size: int
    channels: int
    num_classes: int
    train: int
    test: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    flip: bool
    licence: str
    citation: str
    locations: tuple[str, ...] = ()
    installed: tuple[Path, ...] = ()
    files: tuple[RemoteFile, ...] = ()


def _idx_files(folder: str, mirrors: tuple[str, ...], published: dict[str, tuple[str, int]]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(tuple(mirror + name for mirror in mirrors), f"{folder}/{name}", md5, size)
        for name, (md5, size) in published.items()
    )


DIGIT_NAMES = tuple("0123456789")

MNIST = Record(
    name="mnist",
    title="MNIST",
    format=Idx(DIGIT_NAMES),
    size=28,
    channels=1,
    num_classes=10,
    train=60_000,
    test=10_000,
    mean=(0.1307,),
    std=(0.3081,),
    flip=False,
    licence="CC BY-SA 3.0, copyright Yann LeCun and Corinna Cortes.",
    citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86(11), 1998.",
    locations=("MNIST/raw", "mnist"),
    files=_idx_files(
        "MNIST/raw",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        },
    ),
)

FASHION_MNIST = Record(
    name="fmnist",
    title="Fashion-MNIST",
    format=Idx(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    ),
    size=28,
    channels=1,
    num_classes=10,
    train=60_000,
    test=10_000,
    mean=(0.2860,),
    std=(0.3530,),
    flip=True,
    licence="MIT, copyright Zalando SE.",
    citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning "
    "algorithms. arXiv:1708.07747, 2017.",
    locations=("FashionMNIST/raw", "fashion-mnist", "fmnist"),
    installed=(Path("/usr/share/dataset-fashion-mnist"),),
    files=_idx_files(
        "FashionMNIST/raw",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
            "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
            "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
            "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
        },
    ),
)

SVHN = Record(
    name="svhn",
    title="SVHN, cropped digits",
    format=Svhn(),
    size=32,
    channels=3,
    num_classes=10,
    train=73_257,
    test=26_032,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    flip=False,
    licence="For non-commercial use only, as its page says.",
    citation="Netzer, Wang, Coates, Bissacco, Wu, Ng: Reading digits in natural images with unsupervised feature "
    "learning. NIPS workshop on deep learning, 2011.",
    locations=("svhn", "SVHN", "."),
    files=(
        RemoteFile(
            ("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
            "svhn/train_32x32.mat",
            "e26dedcc434d2e4c54c9b2d4a06d8373",
            182_040_794,
        ),
        RemoteFile(
            ("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
            "svhn/test_32x32.mat",
            "eb5a983be6a315427106f1b164d9cef3",
            64_275_384,
        ),
    ),
)

CIFAR10 = Record(
    name="cifar10",
    title="CIFAR-10",
    format=Cifar(
        train_batches=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test_batches=("test_batch",),
        labels_key=b"labels",
        meta="batches.meta",
        names_key=b"label_names",
    ),
    size=32,
    channels=3,
    num_classes=10,
    train=50_000,
    test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    flip=True,
    licence="No licence stated; its page asks for the citation.",
    citation="Krizhevsky: Learning multiple layers of features from tiny images. Technical report, University of "
    "Toronto, 2009.",
    locations=("cifar-10-batches-py",),
    files=(
        RemoteFile(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            170_498_071,
            unpacks_to="cifar-10-batches-py",
        ),
    ),
)

CIFAR100 = Record(
    name="cifar100",
    title="CIFAR-100",
    format=Cifar(
        train_batches=("train",),
        test_batches=("test",),
        labels_key=b"fine_labels",
        meta="meta",
        names_key=b"fine_label_names",
    ),
    size=32,
    channels=3,
    num_classes=100,
    train=50_000,
    test=10_000,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    flip=True,
    licence=CIFAR10.licence,
    citation=CIFAR10.citation,
    locations=("cifar-100-python",),
    files=(
        RemoteFile(
            ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            169_001_437,
            unpacks_to="cifar-100-python",
        ),
    ),
)

TINY_IMAGENET = Record(
    name="tiny_imagenet",
    title="Tiny-ImageNet",
    format=TinyImageNet(),
    size=64,
    channels=3,
    num_classes=200,
    train=100_000,
    test=10_000,
    mean=(0.4802, 0.4481, 0.3975),
    std=(0.2770, 0.2691, 0.2821),
    flip=True,
    licence="ImageNet's terms of access: non-commercial research and education.",
    citation="Le, Yang: Tiny ImageNet visual recognition challenge. CS 231N, Stanford University, 2015.",
    locations=("tiny-imagenet-200",),
    files=(
        RemoteFile(
            ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
            "tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
            248_100_043,
            unpacks_to="tiny-imagenet-200",
        ),
    ),
)

FOOD101 = Record(
    name="food101",
    title="Food-101 at 64 pixels",
    format=Food101(size=64),
    size=64,
    channels=3,
    num_classes=101,
    train=75_750,
    test=25_250,
    mean=None,
    std=None,
    flip=True,
    licence="Images belong to Foodspotting and its users; scientific fair use only, as its page says.",
    citation="Bossard, Guillaumin, Van Gool: Food-101: mining discriminative components with random forests. "
    "ECCV 2014.",
    locations=("food-101",),
    files=(
        RemoteFile(
            ("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",),
            "food-101.tar.gz",
            "85eeb15f3717b99a5da872d97d918f87",
            4_996_278_331,
            unpacks_to="food-101",
        ),
    ),
)

DIGITS = Record(
    name="digits",
    title="Optical digits bundled with scikit-learn, at 16 pixels",
    format=Digits(),
    size=16,
    channels=1,
    num_classes=10,
    train=1_437,
    test=360,
    mean=None,
    std=None,
    flip=False,
    licence="CC BY 4.0.",
    citation="Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI machine learning repository, 1998.",
)

TOY2D = Record(
    name="toy2d",
    title="Points on five spiral arms in the plane",
    format=Toy2d(),
    size=1,
    channels=2,
    num_classes=5,
    train=2_000,
    test=1_000,
    mean=(0.0, 0.0),
    std=(1.0, 1.0),
    flip=False,
    licence="Part of this package.",
    citation="None; made by a formula in this package.",
)

CATALOG: dict[str, Record] = {
    record.name: record
    for record in (
        MNIST,
        FASHION_MNIST,
        SVHN,
        CIFAR10,
        CIFAR100,
        TINY_IMAGENET,
        FOOD101,
        DIGITS,
        TOY2D,
    )
}
