"""The recipe of the artefacts of `mnist` and `fashion_mnist`."""
