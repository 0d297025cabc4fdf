"""The examples in the docstrings run, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest
from equations import rooms

ROOMS = rooms(Path(__file__).parents[1])


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_the_examples_of_a_room_print_what_they_say(name):
    outcome = doctest.testmod(importlib.import_module(f"vae_tutorial.{name}"))
    assert outcome.failed == 0
    assert outcome.attempted == ROOMS[name].read_text("utf-8").count(">>> ")  # none was overlooked
