"""A file written whole or not at all, whatever stops the program, the machine or the disk."""

import contextlib
import errno
import os
from pathlib import Path

NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # from systems that do not flush folders


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, see it on the disk, then move it to `path`.

    Whatever stops the writing, `path` holds its old content or the new, never a part; and the
    temporary file is removed, unless the process was killed. Raises OSError where the folder or
    the disk refuses.
    """
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C, too
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)  # or a power cut may take the new name away again


def temporary_name(path: Path) -> Path:
    """Where this process writes what is to become `path`: `.NAME.` and its number."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def flush_folder(folder: Path) -> None:
    """See the names in a folder on the disk, where the system can do that; raises OSError."""
    if os.name == "nt":  # Windows opens no folders
        return
    try:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in NO_FLUSH:
            raise
