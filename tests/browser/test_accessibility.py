"""No violation of WCAG 2.2 A and AA that axe can find, on every page, in both themes."""

from visiting import ON_COLOUR


def test_axe_objects_to_nothing(page, way, seen, record_property):
    record_property("audits", 1)
    record_property("rules", len(seen.rules))
    record_property("violations", len(seen.violations))
    if way == "disk":
        assert len(seen.rules) > 50, f"axe ran {seen.rules} on {page}: its tags select too few"
    assert {*ON_COLOUR} <= {*seen.rules}, f"axe ran only {seen.rules} on {page}"
    assert not seen.violations, f"{page}:\n" + "\n".join(seen.violations)
