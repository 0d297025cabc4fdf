"""What the engine sets before PyTorch is loaded: how its threads wait for each other."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch brings GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1000"),
        pytest.param({"GOMP_SPINCOUNT": "7"}, "7", marks=pytest.mark.slow),
        ({"OMP_WAIT_POLICY": "passive"}, "0"),
        pytest.param({"OMP_WAIT_POLICY": "active"}, "30000000000", marks=pytest.mark.slow),
    ],
)
def test_threads_soon_wait_asleep_unless_the_reader_says_otherwise(given, expected):
    """What GNU's OpenMP itself says that it was told, when it was loaded."""
    shown = subprocess.run(
        [sys.executable, "-m", "vae_tutorial", "--help"],
        env=os.environ | given | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", shown.stderr)) == {expected}
