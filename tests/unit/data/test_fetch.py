"""Downloads: checksums are kept to, nothing half-done stays, and a failure says how to do it by hand."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mosaic_bench.data import DataError
from mosaic_bench.data.catalog import CATALOG, RemoteFile
from mosaic_bench.data.fetch import fetch, fetch_file


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Path:
    (tmp_path / "published").mkdir()
    return tmp_path / "published"


@pytest.fixture
def address(published: Path) -> Iterator[str]:
    """A web server on this machine that offers the folder `published`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=published))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def remote(content: bytes, *urls: str, path: str = "raw/file.gz", unpacks_to: str | None = None) -> RemoteFile:
    return RemoteFile(urls, path, hashlib.md5(content).hexdigest(), len(content), unpacks_to)


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once(published: Path, address: str, tmp_path: Path) -> None:
    (published / "file.gz").write_bytes(b"right")
    file = remote(b"right", f"{address}/file.gz")
    fetch_file(file, tmp_path / "data", "own")
    (published / "file.gz").unlink()
    fetch_file(file, tmp_path / "data", "own")
    assert (tmp_path / "data/raw/file.gz").read_bytes() == b"right"
    assert everything_below(tmp_path / "data") == ["raw/file.gz"]


def test_the_second_mirror_is_tried_when_the_first_fails(published: Path, address: str, tmp_path: Path) -> None:
    (published / "file.gz").write_bytes(b"right")
    fetch_file(remote(b"right", f"{address}/gone", f"{address}/file.gz"), tmp_path / "data", "own")
    assert (tmp_path / "data/raw/file.gz").read_bytes() == b"right"


def test_a_wrong_checksum_is_refused_and_nothing_stays(published: Path, address: str, tmp_path: Path) -> None:
    (published / "file.gz").write_bytes(b"wrong")
    file = remote(b"right", f"{address}/file.gz")
    with pytest.raises(DataError) as caught:
        fetch_file(file, tmp_path / "data", "own")
    wrong = hashlib.md5(b"wrong").hexdigest()
    assert f"not the published file: found 5 bytes, md5 {wrong}, expected 5 bytes, md5 {file.md5}" in str(caught.value)
    assert everything_below(tmp_path / "data") == []


def test_a_file_put_there_by_hand_with_a_wrong_checksum_is_refused_and_kept(tmp_path: Path) -> None:
    target = tmp_path / "raw/file.gz"
    target.parent.mkdir()
    target.write_bytes(b"half")
    with pytest.raises(DataError, match=r"file.gz: not the published file: found 4 bytes.*Delete it and fetch again"):
        fetch_file(remote(b"right", "http://127.0.0.1:9/file.gz"), tmp_path, "own")
    assert target.read_bytes() == b"half"


def test_without_network_the_error_says_how_to_do_it_by_hand(tmp_path: Path) -> None:
    unreachable = "http://127.0.0.1:9/cifar-10-python.tar.gz"
    [file] = CATALOG["cifar10"].files
    with pytest.raises(DataError) as caught:
        fetch(replace(CATALOG["cifar10"], files=(replace(file, urls=(unreachable,)),)), tmp_path)
    message = str(caught.value)
    assert f"{unreachable}\n    <urlopen error [Errno 111] Connection refused>" in message
    assert "170498071 bytes, md5 c58f30108f718f92721af3b95e74349a" in message
    assert str(tmp_path / "cifar-10-python.tar.gz") in message
    assert "run `mosaic-bench data fetch cifar10` again" in message
    assert everything_below(tmp_path) == []


def archive_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_one_put_there_by_hand_too(tmp_path: Path) -> None:
    content = archive_with("folder/batch", b"pixels")
    (tmp_path / "own.tar.gz").write_bytes(content)
    file = remote(content, "http://127.0.0.1:9/own.tar.gz", path="own.tar.gz", unpacks_to="folder")
    fetch_file(file, tmp_path, "own")
    assert everything_below(tmp_path) == ["folder/batch", "own.tar.gz"]


def test_the_catalog_has_torchvisions_addresses_and_checksums() -> None:
    from torchvision import datasets

    for name, theirs in (("mnist", datasets.MNIST), ("fmnist", datasets.FashionMNIST)):
        ours = CATALOG[name].files
        assert [(Path(file.path).name, file.md5) for file in ours] == theirs.resources
        assert list(ours[0].urls) == [mirror + theirs.resources[0][0] for mirror in theirs.mirrors]
    for name, cifar in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        [file] = CATALOG[name].files
        assert (file.urls, file.path, file.md5) == ((cifar.url,), cifar.filename, cifar.tgz_md5)
        assert file.unpacks_to == cifar.base_folder
    for file, split in zip(CATALOG["svhn"].files, ("train", "test"), strict=True):
        assert [file.urls[0], Path(file.path).name, file.md5] == datasets.SVHN.split_list[split]
    [food] = CATALOG["food101"].files
    assert (food.urls[0], food.md5) == (datasets.Food101._URL, datasets.Food101._MD5)
