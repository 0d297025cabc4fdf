"""Execute the chapters in place: `python tools/refresh_notebooks.py [notebook ...]`.

The figure of the cell tagged `cover` becomes the picture of the README and of the index page.
Figures are stored with a palette, which makes them a third as large.
Only what a reader sees is stored: no timings, no execution metadata, stable cell ids, so that a
second run changes no file and a real change shows as a small diff.

The first code cell, hidden on the page, installs the package where a hosted notebook lacks it. It
is written here, with the address of the repository that `_config.yml` gives, and takes the tag of
this version: a notebook that is opened later meets the package that it was written with.
"""

import base64
import io
import os
import sys
import time
import tomllib
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))

import address
import nbformat
import yaml
from nbclient import NotebookClient
from PIL import Image

from vae_tutorial.files import write_whole

ROOT = Path(__file__).parents[1]
CHAPTERS = ROOT / "book" / "chapters"
COVER = CHAPTERS.parent / "_static" / "cover.png"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
INSTALL = """\
import importlib.util
import os
import subprocess
import sys

REPOSITORY = "{address}"  # where a hosted notebook finds the package
VERSION = "v{version}"  # the tag that this page belongs to
if REPOSITORY and importlib.util.find_spec("vae_tutorial") is None:
    fetch = ["git", "-c", "advice.detachedHead=false", "clone", "--quiet"]
    fetch += ["--depth=1", f"--branch={{VERSION}}", REPOSITORY, "vae-tutorial"]
    subprocess.run(fetch, check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "./vae-tutorial[chapters]"], check=True)
if os.path.isdir("vae-tutorial/book/chapters"):  # where ../results is found
    os.chdir("vae-tutorial/book/chapters")"""


def install_source(config: Path) -> str:
    """The code of the cell that installs the package, with the address given in `config`.

    Raises ConfigError on an address that the build refuses: here it would become code.
    """
    given = yaml.safe_load(config.read_text("utf-8"))["repository"]["url"]
    if given:
        address.site(given)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return INSTALL.format(address=given, version=version)


def with_install_cell(notebook: nbformat.NotebookNode, name: str) -> None:
    """Write the cell that installs the package below the title, in place of an older one."""
    cell = nbformat.v4.new_code_cell(install_source(ROOT / "_config.yml"), id=f"{name}-install")
    cell.metadata.tags = ["remove-cell"]
    others = [other for other in notebook.cells if other.get("id") != cell.id]
    for number, other in enumerate(others):
        other.id = f"{name}-{number:02d}"
    notebook.cells = [others[0], cell, *others[1:]]


def with_palette(png: bytes, colours: int = 192) -> bytes:
    """The same picture in so many colours at most."""
    stored = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(colours, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return stored.getvalue()


def refresh(path: Path) -> None:
    """Run one notebook from first cell to last, and replace the file once all cells passed."""
    notebook = nbformat.read(path, as_version=4)
    with_install_cell(notebook, path.stem)
    client = NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if "image/png" in output.get("data", {}):
                png = with_palette(base64.b64decode(output["data"]["image/png"]))
                output["data"]["image/png"] = base64.b64encode(png).decode()
                if "cover" in cell.metadata.get("tags", []):
                    COVER.write_bytes(png)
    write_whole(path, f"{nbformat.writes(notebook).rstrip()}\n".encode())


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(CHAPTERS.glob("*.ipynb")):
        start = time.perf_counter()
        refresh(path)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s", flush=True)
