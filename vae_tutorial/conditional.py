"""Log p(y|x) of images whose other part is known: exact, beside a regressor."""
