"""σ², β and pixel units are one knob, and the likelihood cannot see the rate."""
