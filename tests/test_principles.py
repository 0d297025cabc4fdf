"""One decoder, three principles: tests of `principles`."""
