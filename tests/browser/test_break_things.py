"""The browser tests see each kind of fault that is planted in a copy of the built book."""

import break_things
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("thing", break_things.BREAKS)
def test_a_planted_fault_is_seen_by_the_test_meant_for_it(installed, tmp_path, thing):
    failed = break_things.failures_with(thing, tmp_path / "html")
    assert break_things.is_seen(thing, failed), f"{thing} is broken, and what fails is {failed}"
