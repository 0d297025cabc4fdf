"""No violation of WCAG 2.2 A and AA that axe can find, on every page, in both themes."""

import pytest
from built import pages
from visiting import ON_COLOUR


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", pages())
def test_axe_objects_to_nothing(page, theme, seen, record_property):
    rules, violations = seen.audits[theme]
    record_property("audits", 1)
    record_property("rules", len(rules))
    record_property("violations", len(violations))
    if theme == "light":
        assert len(rules) > 50, f"axe ran {rules} on {page}: its tags select too few"
    assert {*ON_COLOUR} <= {*rules}, f"axe ran only {rules} on {page}"
    assert not violations, f"{page}:\n" + "\n".join(violations)
