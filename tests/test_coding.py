"""The bound as a file: tests of `coding`."""
