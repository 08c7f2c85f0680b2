from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from physnet.data import DATA_DIR, locate, mnist, vowel_audio, vowels
from physnet.errors import DataError

CONTENT = b"some measurements"
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
NAME = "set/data.bin"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the test's output."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The address of a server on this machine that has the file."""
    folder = tmp_path / "mirror"
    (folder / "set").mkdir(parents=True)
    (folder / NAME).write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody() -> str:
    """An address on this machine where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler) as server:
        return f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture(autouse=True)
def no_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_DIR, raising=False)


def test_a_file_in_the_data_folder_is_used_as_it_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / NAME).write_bytes(CONTENT)
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    assert locate(NAME, checksum=CHECKSUM, cache=tmp_path / "cache") == tmp_path / NAME
    assert not (tmp_path / "cache").exists()


def test_a_file_is_downloaded_once(mirror: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = locate(NAME, checksum=CHECKSUM, mirrors=[mirror], cache=cache)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert locate(NAME, checksum=CHECKSUM, cache=cache) == path


def test_the_next_mirror_is_tried_when_one_fails(mirror: str, nobody: str, tmp_path: Path) -> None:
    mirrors = [nobody, f"{mirror}missing", mirror]
    assert locate(NAME, checksum=CHECKSUM, mirrors=mirrors, cache=tmp_path / "cache").exists()


def test_without_a_network_the_message_says_where_to_put_the_file(nobody: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Without one, copy the file") as caught:
        locate(NAME, checksum=CHECKSUM, mirrors=[nobody], cache=tmp_path / "cache")
    assert str(tmp_path / "cache" / NAME) in str(caught.value)
    assert DATA_DIR in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_download_of_something_else_is_not_kept(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="on a mirror"):
        locate(NAME, checksum=f"sha256:{'0' * 64}", mirrors=[mirror], cache=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "set").iterdir())


def test_a_cache_that_cannot_be_written_is_an_input_error(mirror: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="on a mirror"):
        locate(NAME, checksum=CHECKSUM, mirrors=[mirror], cache=tmp_path / "file")


def test_a_file_with_a_wrong_checksum_is_named_and_left_alone(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / NAME).write_bytes(b"notes of my own")
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    found = hashlib.sha256(b"notes of my own").hexdigest()
    with pytest.raises(DataError, match=f"data.bin must have.*got {found}.*move it away"):
        locate(NAME, checksum=CHECKSUM, mirrors=[mirror], cache=tmp_path / "cache")
    assert (tmp_path / NAME).read_bytes() == b"notes of my own"


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(parents=True)
    with pytest.raises(DataError, match="must be a file that can be read"):
        locate(NAME, checksum=CHECKSUM, cache=tmp_path)


def test_a_data_folder_that_does_not_exist_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "typo"))
    with pytest.raises(DataError, match=f"{DATA_DIR} must name a folder.*typo"):
        locate(NAME, checksum=CHECKSUM, cache=tmp_path)


def test_vowels_without_the_file_say_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    with pytest.raises(DataError, match=f"No public download.*load_table\\. Put it at.*{DATA_DIR}"):
        vowels.load()


def test_vowel_audio_without_the_file_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    with pytest.raises(DataError, match=f"hillenbr.*load_table\\. Put it at.*below a folder.*{DATA_DIR}"):
        vowel_audio.load()


def test_mnist_names_every_mirror_that_failed(nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    with pytest.raises(DataError, match=f"{nobody}mnist/train.*{nobody}other/mnist/train"):
        mnist.load(mirrors=[nobody, f"{nobody}other"])
