"""Downloads from mirrors on the loopback interface: honest, damaged, silent and gone."""

import gc
import gzip
import hashlib
import http.server
import re
import socket
import struct
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from vae_tutorial.datasets import mirrors as room
from vae_tutorial.datasets.mirrors import (
    FILE_NAMES,
    SOURCES,
    Source,
    cache_folder,
    download,
    read_cached,
    verified,
)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = "train-images-idx3-ubyte"
ARRAYS = {
    IMAGES: np.arange(60, dtype=np.uint8).reshape(5, 3, 4),
    "train-labels-idx1-ubyte": np.array([4, 3, 2, 1, 0], dtype=np.uint8),
    "t10k-images-idx3-ubyte": np.arange(200, 224, dtype=np.uint8).reshape(2, 3, 4),
    "t10k-labels-idx1-ubyte": np.array([9, 8], dtype=np.uint8),
}
PLAIN = {file: idx(array) for file, array in ARRAYS.items()}
PACKED = {file: gzip.compress(content, mtime=0) for file, content in PLAIN.items()}
REPACKED = {file: gzip.compress(content, mtime=1) for file, content in PLAIN.items()}
BOMB = gzip.compress(bytes(2 * 10**7))  # 20 MB in 20 kB
HASHES = {
    "": [hashlib.sha256(content).hexdigest() for content in PLAIN.values()],
    ".gz": [hashlib.sha256(content).hexdigest() for content in PACKED.values()],
}


class Mirror(http.server.BaseHTTPRequestHandler):
    """One server, one folder for each way of serving a file well or badly."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.accepted.add(self.headers["Accept-Encoding"])
        _, manner, name = self.path.split("/")
        whole = PACKED[name.removesuffix(".gz")]
        if manner == "gone":
            return self.send_error(404)
        if manner == "nonsense":
            return self.wfile.write(b"nonsense\r\n\r\n")
        sent = {
            "truncated": whole[:20],
            "shortened": whole[:20],
            "corrupted": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
            "other": gzip.compress(b"another file"),
            "bomb": BOMB,
            "repacked": REPACKED[name.removesuffix(".gz")],
        }.get(manner, whole)
        self.send_response(200)
        self.send_header("Content-Length", str(len(whole if manner == "truncated" else sent)))
        self.end_headers()
        if manner == "silent":
            self.server.over.wait(10)
        elif manner == "slow":
            for byte in sent:
                self.wfile.write(bytes([byte]))
                self.server.over.wait(0.02)
        else:
            self.wfile.write(sent)

    def log_message(self, *_):
        """Nothing: the tests read what was asked."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Nothing: a reader that gives up breaks the pipe."""


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Mirror) as server:
        server.asked, server.accepted, server.over = [], set(), threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A folder that does not exist yet, and no proxy between the tests and the loopback."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirrors(monkeypatch, server):
    def use(*manners, ending=""):
        root = f"http://127.0.0.1:{server.server_port}"
        urls = tuple(f"{root}/{manner}/" for manner in manners)
        monkeypatch.setitem(SOURCES, "mnist", Source(urls, ending, HASHES[ending]))

    return use


def silent(_):
    """A reporter that says nothing."""


def refusal(name="mnist"):
    """What `download` says when it fails, and that it left nothing behind."""
    with pytest.raises(ConnectionError) as raised:
        download(name, silent)
    assert not cache_folder().exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def fill(folder, contents, ending):
    folder.mkdir(parents=True)
    for file, content in contents.items():
        (folder / f"{file}{ending}").write_bytes(content)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_four_files_come_as_the_mirror_has_them(mirrors, server, cache, ending):
    mirrors("honest", ending=ending)
    lines = []
    download("mnist", lines.append)
    assert server.asked == [f"/honest/{file}.gz" for file in ARRAYS]
    stored = {path.name: path.read_bytes() for path in (cache / "mnist").iterdir()}
    assert stored == {f"{file}.gz": content for file, content in PACKED.items()}
    assert len(lines) == 4
    size, root = len(PACKED[IMAGES]), f"http://127.0.0.1:{server.server_port}"
    assert lines[0] == f"{IMAGES}: {size} bytes from {root}/honest/{IMAGES}.gz"
    for file, array in ARRAYS.items():
        np.testing.assert_array_equal(read_cached("mnist", file), array)


def test_progress_is_printed_unless_told_otherwise(mirrors, capsys):
    mirrors("honest")
    download("mnist")
    assert capsys.readouterr().out.count("\n") == 4


def test_what_is_there_is_not_fetched_again(mirrors, server, cache):
    mirrors("honest")
    fill(cache / "mnist", {IMAGES: PLAIN[IMAGES]}, "")
    lines = []
    download("mnist", lines.append)
    assert len(server.asked) == 3
    assert lines[0] == f"{IMAGES}: already in {cache / 'mnist'}"
    server.asked.clear()
    download("mnist", silent)
    assert server.asked == []


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("gone", r"404 Client Error: Not Found for url: \S+"),
        ("nonsense", r"nonsense"),
        ("truncated", r"IncompleteRead\(20 bytes read, \d+ more expected\)"),
        ("shortened", r"what it sent is damaged gzip: .*ended before.*"),
        ("corrupted", r"what it sent is damaged gzip: CRC check failed.*"),
        (
            "other",
            f"what it sent has the SHA-256 {hashlib.sha256(b'another file').hexdigest()},"
            f" needed {HASHES[''][0]}",
        ),
    ],
)
def test_a_bad_mirror_is_passed_over_and_named_when_it_is_the_last(
    mirrors, server, cache, manner, reason
):
    mirrors(manner)
    url = rf"http://127\.0\.0\.1:{server.server_port}/{manner}/{IMAGES}\.gz"
    assert re.match(rf"no mirror gave {IMAGES}: {url} \({reason}\); by hand, put ", refusal())
    mirrors(manner, "honest")
    download("mnist", silent)
    assert len(list((cache / "mnist").iterdir())) == 4


@pytest.mark.parametrize("manner", ["shortened", "corrupted", "repacked"])
def test_a_packed_hash_knows_every_byte_of_the_packed_file(mirrors, manner):
    mirrors(manner, ending=".gz")
    assert re.search(rf"has the SHA-256 [0-9a-f]{{64}}, needed {HASHES['.gz'][0]}\)", refusal())


def test_an_unpacked_hash_allows_any_packing(mirrors):
    mirrors("repacked")
    download("mnist", silent)
    np.testing.assert_array_equal(read_cached("mnist", IMAGES), ARRAYS[IMAGES])


def test_a_silent_mirror_is_left_in_time(mirrors, monkeypatch):
    monkeypatch.setattr(room, "SILENCE", 0.1)
    mirrors("silent")
    start = time.monotonic()
    assert "timed out" in refusal()
    assert time.monotonic() - start < 5


def test_a_slow_mirror_is_left_in_time(mirrors, monkeypatch):
    monkeypatch.setattr(room, "LONGEST", 0.1)
    mirrors("slow")
    assert re.search(r"\(gave up after \d+ bytes within 0\.1 s\)", refusal())


def test_a_mirror_that_sends_too_much_is_left(mirrors, monkeypatch):
    monkeypatch.setattr(room, "LARGEST", len(PACKED[IMAGES]) - 1)
    mirrors("honest")
    assert "(gave up after 0 bytes within 600 s)" in refusal()
    monkeypatch.setattr(room, "LARGEST", len(PACKED[IMAGES]))
    download("mnist", silent)


def test_a_mirror_that_sends_a_little_that_unpacks_to_much_is_passed_over(
    mirrors, cache, monkeypatch
):
    monkeypatch.setattr(room, "LARGEST", 10**6)
    tracemalloc.start()
    try:
        mirrors("bomb")
        assert "(what it sent is longer than 1,000,000 bytes); by hand" in refusal()
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    mirrors("bomb", "honest")
    download("mnist", silent)
    assert len(list((cache / "mnist").iterdir())) == 4


def test_a_packed_hash_is_compared_before_anything_is_unpacked(mirrors, monkeypatch):
    def unpacked(*_):
        raise AssertionError("unpacked before its hash was compared")

    for reader in ("unpack", "parse_idx"):
        monkeypatch.setattr(room, reader, unpacked)
    mirrors("bomb", ending=".gz")
    assert re.search(rf"has the SHA-256 [0-9a-f]{{64}}, needed {HASHES['.gz'][0]}\)", refusal())


def test_a_mirror_is_passed_over_where_the_memory_ends(mirrors, server, monkeypatch):
    fetch = room._fetch

    def short(url):
        if "/corrupted/" in url:
            raise MemoryError
        return fetch(url)

    monkeypatch.setattr(room, "_fetch", short)
    mirrors("corrupted")
    assert f"/corrupted/{IMAGES}.gz (MemoryError); by hand" in refusal()
    mirrors("corrupted", "honest")
    download("mnist", silent)


def test_what_a_server_packs_once_more_is_not_asked_for(mirrors, server):
    mirrors("honest")
    download("mnist", silent)
    assert server.accepted == {"identity"}


def test_a_refused_connection(monkeypatch, cache):
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        monkeypatch.setitem(SOURCES, "mnist", Source((url,), "", HASHES[""]))
        assert f"{url}{IMAGES}.gz ([Errno " in refusal()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_offline_every_mirror_is_named_and_the_way_by_hand(monkeypatch, cache, name):
    def offline(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    said = refusal(name)
    assert len(SOURCES[name].mirrors) >= 2
    assert all(f"{mirror}{IMAGES}.gz (" in said for mirror in SOURCES[name].mirrors)
    assert said.count("no such host") == len(SOURCES[name].mirrors)
    assert said.endswith(
        f"; by hand, put {', '.join(f'{f}.gz' for f in ARRAYS)} into {cache / name}"
    )


def test_a_failure_midway_keeps_the_files_that_were_right(mirrors, cache, monkeypatch):
    mirrors("honest")
    hashes = [HASHES[""][0], "0" * 64, *HASHES[""][2:]]
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(hashes=hashes))
    with pytest.raises(ConnectionError, match="no mirror gave train-labels-idx1-ubyte: "):
        download("mnist", silent)
    assert [path.name for path in (cache / "mnist").iterdir()] == [f"{IMAGES}.gz"]


def test_a_write_that_fails_leaves_no_partial_file(mirrors, cache, monkeypatch):
    seen = []

    def full(source, target):
        seen.append((source.parent, source.name != target.name))
        raise OSError("disk full")

    mirrors("honest")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        download("mnist", silent)
    assert seen == [(cache / "mnist", True)]
    assert list((cache / "mnist").iterdir()) == []


def test_a_cached_file_is_read_no_further_than_a_file_can_be_long(mirrors, cache, monkeypatch):
    mirrors("gone", ending=".gz")
    longest = len(PACKED[IMAGES]) + 10
    monkeypatch.setattr(room, "LARGEST", longest)
    fill(cache / "mnist", {IMAGES: PACKED[IMAGES] + bytes(10**6)}, ".gz")
    seen = hashlib.sha256(PACKED[IMAGES] + bytes(10)).hexdigest()
    with pytest.raises(ValueError, match=f"has the SHA-256 {seen}, needed "):
        read_cached("mnist", IMAGES)


def test_only_published_sets_can_be_downloaded():
    with pytest.raises(ValueError, match=r"^can download mnist and fashion-mnist, got 'digits'$"):
        download("digits")


@pytest.mark.parametrize(
    ("contents", "ending"), [(PLAIN, ""), (PACKED, ".gz"), (REPACKED, ".gz"), (PLAIN, ".gz")]
)
def test_an_unpacked_hash_reads_plain_and_packed_files(mirrors, cache, contents, ending):
    mirrors("gone")
    fill(cache / "mnist", contents, ending)
    for file, array in ARRAYS.items():
        np.testing.assert_array_equal(read_cached("mnist", file), array)


def test_of_two_copies_the_plain_one_is_read(mirrors, cache):
    mirrors("gone")
    fill(cache / "mnist", {IMAGES: PLAIN[IMAGES]}, "")
    (cache / "mnist" / f"{IMAGES}.gz").write_bytes(b"damaged")
    np.testing.assert_array_equal(read_cached("mnist", IMAGES), ARRAYS[IMAGES])


def test_a_packed_hash_looks_at_packed_files_only(mirrors, cache):
    mirrors("gone", ending=".gz")
    fill(cache / "mnist", PLAIN, "")
    assert read_cached("mnist", IMAGES) is None
    (cache / "mnist" / f"{IMAGES}.gz").write_bytes(PACKED[IMAGES])
    np.testing.assert_array_equal(read_cached("mnist", IMAGES), ARRAYS[IMAGES])


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_damaged_file_is_refused_but_left_where_it_is(mirrors, server, cache, ending):
    mirrors("honest", ending=ending)
    damaged = PLAIN[IMAGES][:-1] + b"\x00"
    contents = {IMAGES: damaged if ending == "" else gzip.compress(damaged)}
    fill(cache / "mnist", contents, ending)
    seen, needed = hashlib.sha256(contents[IMAGES]).hexdigest(), HASHES[ending][0]
    said = (
        f"{cache / 'mnist' / IMAGES}{ending} has the SHA-256 {seen}, needed {needed};"
        " delete it and run `python -m vae_tutorial download mnist`"
    )
    for attempt in (lambda: read_cached("mnist", IMAGES), lambda: download("mnist", silent)):
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            attempt()
    assert (cache / "mnist" / f"{IMAGES}{ending}").read_bytes() == contents[IMAGES]
    assert server.asked == []


def test_damaged_gzip_in_the_cache_says_the_way_out(mirrors, cache):
    mirrors("gone")
    fill(cache / "mnist", {IMAGES: PACKED[IMAGES][:-9]}, ".gz")
    said = r"\.gz is damaged gzip: .*; delete it and run `python -m vae_tutorial download mnist`$"
    with pytest.raises(ValueError, match=said):
        read_cached("mnist", IMAGES)


def test_the_way_out_names_the_set(cache):
    fill(cache / "fashion-mnist", {IMAGES: PACKED[IMAGES]}, ".gz")
    said = "needed 3aede38d[0-9a-f]{56}; delete it and run `.* download fashion-mnist`$"
    with pytest.raises(ValueError, match=said):
        read_cached("fashion-mnist", IMAGES)


def test_no_connection_stays_open_after_a_failure(mirrors, monkeypatch):
    monkeypatch.setattr(room, "LARGEST", 10)
    mirrors("gone", "honest", "truncated")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        refusal()
        gc.collect()
    assert said == []


def test_each_file_has_its_own_hash():
    source = Source((), "", HASHES[""])
    assert tuple(ARRAYS) == FILE_NAMES
    for file, content in PLAIN.items():
        np.testing.assert_array_equal(verified(content, file, source, "it"), ARRAYS[file])
    with pytest.raises(ValueError, match=f"^it has the SHA-256 {HASHES[''][0]}, needed "):
        verified(PLAIN[IMAGES], "t10k-images-idx3-ubyte", source, "it")


def test_the_table_holds_the_published_hashes():
    """By their first digits: MNIST's unpacked files, Fashion-MNIST's packed ones."""
    starts = {name: [sha256[:8] for sha256 in source.hashes] for name, source in SOURCES.items()}
    assert starts == {
        "mnist": ["ba891046", "65a50cbb", "0fa7898d", "ff7bcfd4"],
        "fashion-mnist": ["3aede38d", "a04f1713", "346e55b9", "67da17c7"],
    }
    assert {name: source.ending for name, source in SOURCES.items()} == {
        "mnist": "",
        "fashion-mnist": ".gz",
    }
    for source in SOURCES.values():
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in source.hashes)
        assert all(re.fullmatch("https://.*/", mirror) for mirror in source.mirrors)


def test_the_cache_folder_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAE_TUTORIAL_DATA", "~/data")
    assert cache_folder() == tmp_path / "data"
    for default in ("set to nothing", "not set"):
        monkeypatch.setenv("VAE_TUTORIAL_DATA", "")
        if default == "not set":
            monkeypatch.delenv("VAE_TUTORIAL_DATA")
        assert cache_folder() == tmp_path / ".cache" / "vae-tutorial"
