"""The examples that hypothesis draws are the same everywhere, and no clock judges them."""

from hypothesis import settings

settings.register_profile("book", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("book")
