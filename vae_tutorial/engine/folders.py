"""A run's folder: which files are a run's, what they say of it, and which process holds it."""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vae_tutorial.datasets import Images
from vae_tutorial.engine.checkpoints import load_weights, parsed_json, read_whole
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.engine.settings import Settings, build, parsed
from vae_tutorial.files import write_whole
from vae_tutorial.models import VAE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # to mypy the name is a module's

CONFIG, CHECKPOINT, PREVIOUS = "config.json", "checkpoint.pt", "checkpoint.previous.pt"
WEIGHTS, METRICS, PICTURE = "weights.safetensors", "metrics.jsonl", "reconstructions.png"
FILES = (CONFIG, CHECKPOINT, PREVIOUS, METRICS, WEIGHTS, PICTURE)
LOCK = ".lock"


class Config(NamedTuple):
    """What decides a run: its settings, and the images that it sees."""

    settings: Settings
    height: int
    width: int
    digest: str  # SHA-256 of all images

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def notes(self) -> dict[str, object]:
        """The same as a JSON object."""
        kept = {name: getattr(self, name) for name in ("height", "width", "pixels", "digest")}
        return {"settings": self.settings._asdict(), "images": kept}


def describe(settings: Settings, images: Images) -> Config:
    """The configuration of a run on these images."""
    digest = hashlib.sha256(f"{len(images.train)} {images.height} {images.width}".encode())
    for part in (images.train, images.test):
        digest.update(part.contiguous().numpy().data)
    return Config(settings, images.height, images.width, digest.hexdigest())


def config_of(content: object, name: str) -> Config:
    """The configuration in a JSON object; ValueError, with `name` and the reason, without one."""
    if not isinstance(content, dict) or "settings" not in content:
        raise ValueError(f"{name} does not hold the settings of a run")
    images = content.get("images")
    if images is None:
        raise ValueError(f"{name} is of an older version, which did not keep the images' size")
    try:
        settings = parsed(content["settings"]).checked()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} does not hold the settings of a run: {error}") from error
    sizes = images if isinstance(images, dict) else {}
    height, width = sizes.get("height"), sizes.get("width")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError(f"{name} does not hold the height and the width of a run's images")
    if not isinstance(images.get("digest"), str):
        raise ValueError(f"{name} does not hold the digest of a run's images")
    return Config(settings, height, width, images["digest"])


def differences(seen: Config, wanted: Config) -> list[str]:
    """What makes them two runs, in words: `latent 3, not 2`.

    The same images may lie elsewhere, and a run of constant rate may become longer.
    """
    new, old = wanted.settings, seen.settings
    if seen.digest == wanted.digest:
        old = old._replace(data=new.data)
    if new.final_learning_rate is None and new.epochs > old.epochs:
        old = old._replace(epochs=new.epochs)
    found = [
        f"{name} {before}, not {now}"
        for name, before, now in zip(Settings._fields, old, new, strict=True)
        if before != now
    ]
    if seen[1:] != wanted[1:] and old.data == new.data:
        found.append(f"other images, though they, too, were given as {new.data}")
    return found


def read_config(folder: Path) -> Config:
    """What config.json says of the run in a folder; FileNotFoundError or ValueError without it."""
    path = folder / CONFIG
    return config_of(parsed_json(read_whole(path), str(path)), str(path))


def write_config(folder: Path, config: Config, device: str, *, resumed: bool) -> None:
    """Write config.json: what is computed, and where it began; raises OSError."""
    origin = provenance(device)
    if resumed:  # it began elsewhere, perhaps with other threads
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            origin = parsed_json(read_whole(folder / CONFIG), CONFIG)["provenance"]
    content = config.notes() | {"provenance": origin}
    write_whole(folder / CONFIG, (json.dumps(content, indent=2) + "\n").encode())


def require_ours(folder: Path) -> None:
    """Raise ValueError where training would write over what it could not make again.

    With a checkpoint, the checkpoint tells whose the folder is. Without one, config.json may be
    that of a run stopped before its first epoch; results may not be there.
    """
    if (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists():
        return
    results = [name for name in (WEIGHTS, METRICS, PICTURE) if (folder / name).exists()]
    if results:
        raise ValueError(
            f"{folder} holds {' and '.join(results)}, but no checkpoint to go on from:"
            " take another folder, or they would be lost"
        )
    if (folder / CONFIG).exists():
        try:
            read_config(folder)
        except ValueError as error:
            raise ValueError(f"{error}: take another folder, or it would be lost") from error


class Trained(NamedTuple):
    """A run as it was left: what it is, its model, and the epoch whose weights these are."""

    config: Config
    model: VAE
    epoch: int | None  # None where the weights do not say it


def load_trained(folder: Path) -> Trained:
    """The trained model of a run; no image is read.

    Raises FileNotFoundError or ValueError where config.json or the weights are missing, damaged,
    or not of one run.
    """
    config, path = read_config(folder), folder / WEIGHTS
    model = build(config.settings, config.pixels)
    notes = load_weights(path, model)
    found = differences(config_of(notes, str(path)), config)
    if found:
        raise ValueError(
            f"{path} is not of the run in {CONFIG}, but of one with {'; '.join(found)}"
        )
    return Trained(config, model.requires_grad_(False), notes.get("epoch"))


@contextlib.contextmanager
def held(folder: Path, report: Callable[[str], None] = print) -> Iterator[None]:
    """Make a folder and hold it against other processes; the system lets go if this one dies.

    Raises BlockingIOError, with the process that holds the folder, OSError where the folder takes
    no files or does not let go of them. Where the system has no such locks, `report` is told, and
    the folder stands open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with _locked(path):
        path.unlink()  # a trial: where no file can be removed, none can be replaced
    with _locked(path) as file:
        if not _lock(file):
            report(f"this system has no locks: see that no other process trains in {folder}")
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO:
    """The file at `path`, made if need be, open and locked; its lock goes when it is closed."""
    while True:
        file = path.open("a+b")
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # the process that held it has removed it meanwhile
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read(100).decode("utf-8", "replace").strip() or "(just begun)"
            file.close()
            raise BlockingIOError(
                f"{path.parent} is held by process {holder}: wait for it, or stop it"
            ) from error
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Lock an open file, or find it locked already by this very handle; False without locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network file systems
        return False
    return True
