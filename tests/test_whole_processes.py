"""The program as a process: closed streams, poor terminals, Ctrl-C, little memory, two at once."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vae_tutorial import datasets
from vae_tutorial.__main__ import main
from vae_tutorial.engine.runs import SILENT, train
from vae_tutorial.engine.settings import Settings

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "vae_tutorial"]
TINY = ["train", "--eager", "--hidden", "4", "--epochs", "2"]
LIMIT = 120  # seconds


def call(arguments, *, shell="", environment=None, **options):
    """The finished program; `shell` is what stands behind its arguments in a shell's line."""
    words = [*PROGRAM, *map(str, arguments)]
    if shell:
        words = ["sh", "-c", f'exec "$@" {shell}', "sh", *words]
    return subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        **options,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "run"
    settings = Settings(hidden=(4,), epochs=1, batch_size=500)
    train(settings, datasets.load("digits"), folder, watch=SILENT)
    return folder


def test_help_can_be_read_on_a_terminal_that_knows_ascii_alone():
    ended = call(["train", "--help"], environment={"PYTHONIOENCODING": "ascii"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "for gaussian: ? = variance" in ended.stdout


@pytest.mark.slow
def test_nothing_is_evaluated_for_a_closed_standard_output(good):
    ended = call(["evaluate", good], shell=">&-")
    assert ended.returncode == 2
    assert re.fullmatch(r"\S+ -m \S+ standard output is closed: .*\n", ended.stderr)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_a_full_standard_output_takes_one_line(good):
    few = ["--images", "1", "--importance-samples", "2"]
    buffered = {"TORCHDYNAMO_DISABLE": "1", "PYTHONUNBUFFERED": ""}  # as Python is by default
    ended = call(["evaluate", good, *few], shell=">/dev/full", environment=buffered)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "No space left" in ended.stderr


def test_training_goes_on_where_nobody_hears_of_it(tmp_path):
    ended = call([*TINY, "--output", tmp_path / "run"], shell="2>&-")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert len((tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()) == 2
    assert (tmp_path / "run" / "reconstructions.png").exists()


@pytest.mark.slow
def test_an_evaluation_answers_where_nobody_hears_of_it(good):
    few = ["--images", "1", "--importance-samples", "2"]
    ended = call(["evaluate", good, *few], shell="2>&-", environment={"TORCHDYNAMO_DISABLE": "1"})
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["images"] == 1


@pytest.mark.slow
def test_without_room_for_the_compilers_cache_training_goes_on(tmp_path):
    (tmp_path / "file").touch()
    ended = call(
        [*TINY, "--output", tmp_path / "run"],
        environment={"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "file" / "cache")},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("TORCHINDUCTOR_CACHE_DIR takes no files (Not a directory)")
    assert (tmp_path / "run" / "reconstructions.png").exists()


def limited(code):
    """A program that imports everything, then may take 200 MB more, and runs `code`."""
    lines = [
        "import resource, sys",
        "from vae_tutorial.__main__ import main",
        "pages = int(open('/proc/self/statm').read().split()[0])",
        "most = pages * resource.getpagesize() + 200_000_000",
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))",
        f"sys.exit(main({code}))",
    ]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_too_little_memory_takes_one_line(tmp_path):
    ended = limited(["train", "--eager", "--hidden", "300000", "--output", str(tmp_path / "run")])
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "out of memory: try a smaller network" in ended.stderr


def test_a_folder_in_use_is_refused_with_the_number_of_its_process(tmp_path, capsys):
    words = [*PROGRAM, "train", "--eager", "--hidden", "4", "--epochs", "1000000"]
    with subprocess.Popen(
        [*words, "--output", tmp_path / "run"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert any(line.startswith("epoch 1/") for line in process.stderr)
        status = main([*TINY, "--seed", "1", "--output", str(tmp_path / "run")])
        process.kill()
    torch.set_flush_denormal(False)
    assert status == 1
    said = capsys.readouterr().err
    assert f"run is held by process {process.pid} on" in said
    assert said.count("\n") == 1, said


def on_terminal(arguments, waited_for):
    """The status, what a terminal showed, and seconds from Ctrl-C, pressed at `waited_for`."""
    number, terminal = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(terminal)
    seen, pressed, begin = "", None, time.monotonic()
    try:
        while process.poll() is None and time.monotonic() - begin < LIMIT:
            if select.select([number], [], [], 0.1)[0]:
                try:
                    seen += os.read(number, 4096).decode("utf-8", "replace")
                except OSError:  # the last process has left the terminal
                    break
            if pressed is None and waited_for in seen:
                os.write(number, b"\x03")
                pressed = time.monotonic()
        status = process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(number)
    assert pressed, seen
    return status, seen, time.monotonic() - pressed


def take_terminal():
    """In the child: the terminal on its standard input becomes the one whose Ctrl-C it gets."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_an_evaluation_stops_at_once_on_a_terminal(good):
    words = ["evaluate", good, "--importance-samples", "100000000"]
    status, seen, seconds = on_terminal(words, "0/3, 0 s left")
    assert status == 130
    assert seconds < 20  # two on a quiet machine; the evaluation would take days
    assert "Traceback" not in seen
    assert seen.rstrip().endswith("python -m vae_tutorial: stopped")


def test_an_interrupt_ends_training_after_its_epoch(tmp_path):
    words = ["train", "--eager", "--hidden", "4", "--epochs", "1000000"]
    status, seen, _ = on_terminal([*words, "--output", tmp_path / "run"], "epoch 3/")
    assert status == 130
    assert "stopping after this epoch; once more to stop at once and lose it" in seen
    assert "Traceback" not in seen
    assert not (tmp_path / "run" / ".lock").exists()
