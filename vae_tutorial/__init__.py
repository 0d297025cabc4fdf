"""The rooms of the book: one small module a chapter, and the commons they share."""
