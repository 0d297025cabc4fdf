"""What a writer leaves behind: the old content or the new, on the disk, and nothing else."""

import errno
import os
import stat
from pathlib import Path

import pytest

from vae_tutorial.files import write_whole


def test_content_is_written_and_replaced_whole(tmp_path):
    path = tmp_path / "file"
    for content in (b"first, and longer", b"second", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("stopped", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("broken", [(os, "fsync"), (Path, "replace")], ids=["sync", "move"])
def test_a_stopped_write_leaves_the_old_content_and_nothing_else(
    tmp_path, monkeypatch, broken, stopped
):
    def stop(*arguments, **named):
        raise stopped

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(*broken, stop)
    with pytest.raises(type(stopped)):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no folders")
def test_the_content_is_on_the_disk_before_the_name_and_then_the_name_is(tmp_path, monkeypatch):
    path, order = tmp_path / "file", []
    sync, move = os.fsync, Path.replace

    def watched_sync(number):
        folder = stat.S_ISDIR(os.fstat(number).st_mode)
        order.append(("sync", "folder" if folder else os.fstat(number).st_size, path.exists()))
        sync(number)

    def watched_move(source, target):
        order.append(("move", source.parent == target.parent))
        return move(source, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_move)
    write_whole(path, b"content")
    assert order == [("sync", 7, False), ("move", True), ("sync", "folder", True)]


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no folders")
@pytest.mark.parametrize(
    ("number", "passes"),
    [
        (errno.EINVAL, True),
        (errno.ENOTSUP, True),
        (errno.EACCES, True),  # a folder that may be written in, but not read
        (errno.EIO, False),
    ],
)
def test_a_folder_that_cannot_be_flushed_is_no_failure_but_a_failing_disk_is(
    tmp_path, monkeypatch, number, passes
):
    sync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    if passes:
        write_whole(tmp_path / "file", b"content")
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            write_whole(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", b"")
