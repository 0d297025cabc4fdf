"""What the manual names exists, and what exists it names."""

import re

import pytest

from vae_tutorial import manual
from vae_tutorial.folders import FILES

TEXTS = [manual.ABOUT, manual.TRAIN, manual.EVALUATE, manual.SAMPLE, manual.DOWNLOAD]


def test_every_file_of_a_run_is_described():
    described = set(re.findall(r"^  (\S+\.\w+) ", manual.TRAIN, re.M))
    assert described == {name for name in FILES if not name.startswith(".")}


@pytest.mark.parametrize("text", TEXTS)
def test_no_line_is_wider_than_a_page(text):
    assert max(map(len, text.splitlines())) <= 100
