"""Execute the chapters in place: `python tests/refresh_notebooks.py [notebook ...]`.

The figure of the cell tagged `cover` becomes the picture of the README and of the index page.
Figures are stored with a palette, which makes them a third as large.
Only what a reader sees is stored: no timings, no execution metadata, stable cell ids, so that a
second run changes no file and a real change shows as a small diff.
"""

import base64
import io
import os
import sys
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYDEVD_DISABLE_FILE_VALIDATION="1")

import nbformat
from nbclient import NotebookClient
from PIL import Image

CHAPTERS = Path(__file__).parents[1] / "book" / "chapters"
COVER = CHAPTERS.parent / "_static" / "cover.png"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def with_palette(png: bytes) -> bytes:
    """The same picture in at most 192 colours."""
    stored = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(192, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return stored.getvalue()


def refresh(path: Path) -> None:
    """Run one notebook from first cell to last, and replace the file once all cells passed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{path.stem}-{number:02d}"
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if "image/png" in output.get("data", {}):
                png = with_palette(base64.b64decode(output["data"]["image/png"]))
                output["data"]["image/png"] = base64.b64encode(png).decode()
                if "cover" in cell.metadata.get("tags", []):
                    COVER.write_bytes(png)
    temporary = path.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(CHAPTERS.glob("*.ipynb")):
        start = time.perf_counter()
        refresh(path)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s", flush=True)
