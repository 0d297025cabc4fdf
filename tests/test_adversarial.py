"""The other framework: a game: tests of `adversarial`."""
