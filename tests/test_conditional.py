"""Given a part of the image: tests of `conditional`."""
