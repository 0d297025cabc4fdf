"""The error that vanishes: tests of `zero_error`."""
