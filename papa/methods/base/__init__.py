"""The base: the pre-trained model as it is, which every method is compared with."""

from papa.methods.declaration import Declaration, MethodSettings

BASE = Declaration(
    MethodSettings, "papa.methods.base.method:Base", "the pre-trained model", draws="base", pictures=frozenset()
)
