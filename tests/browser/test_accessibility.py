"""No violation of WCAG 2.2 A and AA that axe can find, on every page, in both themes."""


def test_axe_objects_to_nothing(page, seen, record_property):
    record_property("audits", 1)
    record_property("rules", seen.rules)
    record_property("violations", len(seen.violations))
    assert seen.rules > 50, f"axe ran {seen.rules} rules on {page}: its tags select too few"
    assert not seen.violations, f"{page}:\n" + "\n".join(seen.violations)
