"""Every published on-disk format is read back pixel for pixel, and damage is named."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import (
    assert_split,
    idx_bytes,
    labelled,
    random_images,
    write_cifar_batch,
    write_food101,
    write_jpeg,
    write_mnist,
    write_npz,
    write_python2_pickle,
    write_svhn,
    write_tiny_imagenet,
)

from mosaic_bench.data import check_present, open_dataset
from mosaic_bench.data.catalog import CATALOG
from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats import Digits, Npz, Svhn, TinyImageNet, Toy2d
from mosaic_bench.data.formats.food101 import Food101
from mosaic_bench.data.locate import locate

WNIDS = ("n02124075", "n01443537", "n04067472")


@pytest.mark.parametrize("name", ["mnist", "fmnist"])
def test_idx_files_are_decoded_pixel_for_pixel(tmp_path: Path, name: str) -> None:
    record = CATALOG[name]
    train, test = labelled(12, 28, 1, 10), labelled(5, 28, 1, 10, seed=1)
    write_mnist(tmp_path / record.locations[0], train, test)
    decoded = record.format.decode(locate(name, [tmp_path]).location)
    assert_split(decoded, "train", *train)
    assert_split(decoded, "test", *test)


def test_uncompressed_idx_files_are_read_too(tmp_path: Path) -> None:
    train = labelled(12, 28, 1, 10)
    write_mnist(tmp_path / "mnist", train, train)
    for path in list((tmp_path / "mnist").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert_split(CATALOG["mnist"].format.decode(locate("mnist", [tmp_path]).location), "train", *train)


def test_svhn_is_decoded_and_label_ten_is_the_digit_zero(tmp_path: Path) -> None:
    train, test = labelled(20, 32, 3, 10), labelled(11, 32, 3, 10, seed=1)
    write_svhn(tmp_path / "train_32x32.mat", *train)
    write_svhn(tmp_path / "test_32x32.mat", *test)
    decoded = Svhn().decode(tmp_path)
    assert_split(decoded, "train", *train)
    assert_split(decoded, "test", *test)


def test_cifar10_batches_are_decoded_in_order(tmp_path: Path) -> None:
    images, labels = labelled(25, 32, 3, 10)
    test = labelled(4, 32, 3, 10, seed=1)
    for batch in range(5):
        part = slice(5 * batch, 5 * batch + 5)
        write_cifar_batch(tmp_path / f"data_batch_{batch + 1}", images[part], labels[part])
    write_cifar_batch(tmp_path / "test_batch", *test)
    names = [f"class {i}".encode() for i in range(10)]
    write_python2_pickle(tmp_path / "batches.meta", {b"label_names": names, b"num_vis": 3072})
    decoded = CATALOG["cifar10"].format.decode(tmp_path)
    assert_split(decoded, "train", images, labels)
    assert_split(decoded, "test", *test)
    assert decoded.classes[3] == "class 3"


def test_cifar100_is_decoded_with_its_fine_labels(tmp_path: Path) -> None:
    train, test = labelled(200, 32, 3, 100), labelled(7, 32, 3, 100, seed=1)
    write_cifar_batch(tmp_path / "train", *train, key=b"fine_labels")
    write_cifar_batch(tmp_path / "test", *test, key=b"fine_labels")
    write_python2_pickle(tmp_path / "meta", {b"fine_label_names": [f"fine {i}".encode() for i in range(100)]})
    decoded = CATALOG["cifar100"].format.decode(tmp_path)
    assert_split(decoded, "train", *train)
    assert_split(decoded, "test", *test)


def test_a_pickle_that_calls_anything_is_refused_before_the_call(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "attacked",)

    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": Attack()}))
    with pytest.raises(DataError, match=r"meta: .*which no CIFAR batch needs"):
        CATALOG["cifar100"].format.decode(tmp_path)
    assert not (tmp_path / "attacked").exists()


def test_tiny_imagenet_is_decoded_with_labels_in_the_order_of_its_list(tmp_path: Path) -> None:
    train_labels, test_labels = np.array([0, 0, 1, 2, 2]), np.array([2, 0, 1])
    train = (random_images(5, 64, 3), train_labels)
    test = (random_images(3, 64, 3, seed=1), test_labels)
    train_pixels, test_pixels = write_tiny_imagenet(tmp_path, train, test, WNIDS)
    backup = tmp_path / "train" / WNIDS[0] / "images/backup"  # no part of the published layout
    backup.mkdir()
    Image.new("RGB", (64, 64)).save(backup / "copy.JPEG")
    decoded = TinyImageNet().decode(tmp_path)
    assert_split(decoded, "train", train_pixels, train_labels)
    assert_split(decoded, "test", test_pixels, test_labels)
    assert decoded.classes == tuple(f"name of {wnid}" for wnid in WNIDS)


def test_grey_jpegs_of_tiny_imagenet_become_colour(tmp_path: Path) -> None:
    write_tiny_imagenet(
        tmp_path, (random_images(3, 64, 3), np.arange(3)), (random_images(3, 64, 3), np.arange(3)), WNIDS
    )
    grey = next((tmp_path / "train" / WNIDS[0] / "images").iterdir())
    Image.new("L", (64, 64), 90).save(grey, "JPEG")
    assert TinyImageNet().decode(tmp_path).train.images[0].tolist() == [[[90, 90, 90]] * 64] * 64


def test_food101_of_the_right_size_is_decoded_pixel_for_pixel(tmp_path: Path) -> None:
    images, classes = random_images(4, 64, 3), ("apple_pie", "waffles")
    write_food101(
        tmp_path, classes, {"train": [(images[0], 1), (images[1], 0)], "test": [(images[2], 0), (images[3], 1)]}
    )
    expected = [write_jpeg(tmp_path / "expected.jpg", image) for image in images]
    decoded = Food101(size=64).decode(tmp_path)
    assert_split(decoded, "train", np.stack(expected[:2]), np.array([1, 0]))
    assert_split(decoded, "test", np.stack(expected[2:]), np.array([0, 1]))
    assert decoded.classes == ("apple pie", "waffles")


@pytest.mark.parametrize("shape", [(512, 384), (384, 512), (200, 200), (131, 97)])
def test_food101_is_resized_as_torchvision_does_with_antialiasing(tmp_path: Path, shape: tuple[int, int]) -> None:
    from torchvision.transforms.v2.functional import center_crop, resize

    photograph = np.random.RandomState(0).randint(0, 256, (*shape, 3), dtype=np.uint8)
    write_food101(tmp_path, ("pho",), {"train": [(photograph, 0)], "test": [(photograph, 0)]})
    with Image.open(tmp_path / "images/pho/train0.jpg") as image:
        expected = np.asarray(center_crop(resize(image, [64]), [64, 64]))
    np.testing.assert_array_equal(Food101(size=64).decode(tmp_path).train.images[0], expected)


def test_npz_is_decoded_and_unnamed_classes_are_numbered(tmp_path: Path) -> None:
    write_npz(tmp_path / "own.npz", n=40, size=8, channels=3, classes=4, seed=5)
    decoded = Npz().decode(tmp_path / "own.npz")
    assert_split(decoded, "train", random_images(40, 8, 3, seed=5), np.arange(40) % 4)
    assert decoded.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("labels", [np.array(["cat", "dog"] * 10), np.linspace(0, 3, 20), np.array([], dtype=np.int64)])
def test_npz_labels_that_are_no_class_numbers_are_named(tmp_path: Path, labels: np.ndarray) -> None:
    write_npz(tmp_path / "own.npz", n=40)
    arrays = dict(np.load(tmp_path / "own.npz"))
    np.savez(tmp_path / "own.npz", **(arrays | {"y_test": labels}))
    with pytest.raises(DataError, match=r"own.npz: y_test is .*, expected integer labels"):
        Npz().decode(tmp_path / "own.npz")


def write_npz_with(path: Path, **arrays: np.ndarray) -> None:
    """The npz data set of `write_npz` with some arrays replaced or added."""
    write_npz(path, n=40)
    np.savez(path, **(dict(np.load(path)) | arrays))


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.int8, 127)])
def test_npz_labels_may_use_their_whole_type(tmp_path: Path, dtype: type, highest: int) -> None:
    labels = np.arange(highest + 1, dtype=dtype)
    write_npz_with(tmp_path / "own.npz", x_train=random_images(highest + 1, 8, 3), y_train=labels)
    decoded = Npz().decode(tmp_path / "own.npz")
    assert decoded.classes == tuple(str(label) for label in range(highest + 1))
    assert decoded.train.labels.tolist() == list(range(highest + 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": random_images(20, 10, 3)}, r"training images are \(8, 8, 3\) but test images \(10, 10, 3\)"),
        ({"x_test": random_images(20, 8, 1)}, r"training images are \(8, 8, 3\) but test images \(8, 8, 1\)"),
        ({"x_train": random_images(40, 0, 3)}, r"images of shape \(40, 0, 0, 3\) have no pixels"),
        ({"x_train": random_images(40, 8, 0)}, r"images of shape \(40, 8, 8, 0\) have no pixels"),
        (
            {"y_test": np.full(20, 10**13)},
            "labels run to 10000000000000, but there are only 60 images. Number",
        ),
        ({"classes": np.array("cat")}, r"classes is <U3 \(\), expected one name per class"),
    ],
)
def test_npz_arrays_that_do_not_fit_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    write_npz_with(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=f"own.npz: {message}"):
        Npz().decode(tmp_path / "own.npz")


def write_single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def write_with_broken_stream(path: Path) -> None:
    np.savez_compressed(path, x_train=np.zeros(5000, np.uint8))
    content = bytearray(path.read_bytes())
    content[80:90] = b"\xff" * 10
    path.write_bytes(content)


def write_with_unknown_compression(path: Path) -> None:
    write_npz(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] = 99
    path.write_bytes(content)


@pytest.mark.parametrize("write", [write_single_array, write_with_broken_stream, write_with_unknown_compression])
def test_a_damaged_npz_is_named_whatever_the_damage(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "own.npz")
    with pytest.raises(DataError, match=r"own.npz: truncated or not an npz file of plain arrays"):
        Npz().decode(tmp_path / "own.npz")


@pytest.mark.parametrize(("name", "file"), [("tiny_imagenet", "wnids.txt"), ("food101", "meta/classes.txt")])
def test_a_list_that_is_no_text_is_named_where_data_sets_are_listed(tmp_path: Path, name: str, file: str) -> None:
    path = tmp_path / CATALOG[name].locations[0] / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfen")
    assert f"{path}: not text in UTF-8" in str(check_present(name, [tmp_path]))


def test_digits_are_real_handwriting_at_sixteen_pixels() -> None:
    decoded = Digits().decode(Path())
    assert decoded.train.images.shape == (1437, 16, 16, 1)
    assert decoded.test.images.shape == (360, 16, 16, 1)
    assert set(decoded.test.labels) == set(range(10))


def test_toy_points_lie_in_the_unit_circle_with_equal_classes() -> None:
    decoded = Toy2d().decode(Path())
    assert decoded.train.images.shape == (2000, 1, 1, 2)
    assert decoded.train.images.dtype == np.float32
    assert np.linalg.norm(decoded.train.images, axis=3).max() <= 1.001
    assert np.bincount(decoded.train.labels).tolist() == [400] * 5


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_truncated_gzip_archive_is_named(tmp_path: Path, kept: int) -> None:
    write_mnist(tmp_path / "mnist", labelled(12, 28, 1, 10), labelled(5, 28, 1, 10))
    victim = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    victim.write_bytes(victim.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: .*Replace this file"):
        CATALOG["mnist"].format.decode(tmp_path / "mnist")


def test_an_idx_file_shorter_than_its_header_says_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", labelled(12, 28, 1, 10), labelled(5, 28, 1, 10))
    victim = tmp_path / "mnist/t10k-labels-idx1-ubyte.gz"
    victim.write_bytes(gzip.compress(idx_bytes(np.arange(5))[:-1]))
    with pytest.raises(DataError, match=r"t10k-labels.*4 bytes of data where the header announces \(5,\)"):
        CATALOG["mnist"].format.decode(tmp_path / "mnist")


def test_a_truncated_mat_file_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_svhn(tmp_path / f"{split}_32x32.mat", *labelled(20, 32, 3, 10))
    victim = tmp_path / "test_32x32.mat"
    victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"test_32x32.mat: truncated"):
        Svhn().decode(tmp_path)


def test_a_truncated_cifar_batch_is_named(tmp_path: Path) -> None:
    write_cifar_batch(tmp_path / "train", *labelled(9, 32, 3, 100), key=b"fine_labels")
    write_python2_pickle(tmp_path / "meta", {b"fine_label_names": [b"x"] * 100})
    (tmp_path / "train").write_bytes((tmp_path / "train").read_bytes()[:-200])
    with pytest.raises(DataError, match=r"train: truncated or not a CIFAR pickle"):
        CATALOG["cifar100"].format.decode(tmp_path)


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    write_tiny_imagenet(
        tmp_path, (random_images(3, 64, 3), np.arange(3)), (random_images(3, 64, 3), np.arange(3)), WNIDS
    )
    victim = tmp_path / "val/images/val_1.JPEG"
    victim.write_bytes(victim.read_bytes()[:700])
    with pytest.raises(DataError, match=r"val_1.JPEG: not a readable image"):
        TinyImageNet().decode(tmp_path)


def test_another_data_set_in_its_place_is_refused(tmp_path: Path) -> None:
    smaller = labelled(12, 20, 1, 10)
    write_mnist(tmp_path / "mnist", smaller, smaller)
    with pytest.raises(DataError, match=r"images of shape \(20, 20, 1\), MNIST has \(28, 28, 1\)"):
        open_dataset("mnist", [tmp_path], tmp_path / "cache")


def test_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", (random_images(3, 28, 1), np.array([0, 11, 2])), labelled(5, 28, 1, 10))
    with pytest.raises(DataError, match="labels run from 0 to 11, expected 0 to 9"):
        CATALOG["mnist"].format.decode(tmp_path / "mnist")
