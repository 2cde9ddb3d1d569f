"""Reading pickles from the internet: only the classes that a format needs are ever looked up, so none can run code.

Source: "Restricting Globals" in the documentation of Python's `pickle` module.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from naswot_ext.errors import NaswotError

# What numpy's arrays and scalars are rebuilt from; numpy 2 renamed its core, and old files have the old name.
NUMPY: dict[tuple[str, str], Any] = {
    (module, name): entry
    for core in ("numpy.core", "numpy._core")
    for module, name, entry in (
        ("numpy", "dtype", np.dtype),
        ("numpy", "ndarray", np.ndarray),
        (f"{core}.multiarray", "_reconstruct", np.empty(0).__reduce__()[0]),
        (f"{core}.multiarray", "scalar", np.float64(0).__reduce__()[0]),
    )
}
ORDERED_DICT: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, what: str, admitted: Mapping[tuple[str, str], Any], encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self._what, self._admitted = what, admitted

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._admitted:
            raise NaswotError(
                f"{self._what} asks for {module}.{name}, which its format does not need; to look it up could run any "
                "code. Do not use this file; fetch it anew from a source that you trust."
            )
        return self._admitted[module, name]


def load(file: BinaryIO, what: str, admitted: Mapping[tuple[str, str], Any], encoding: str = "ASCII") -> Any:
    """The next object of the pickle `file`, made of builtin types and of the `admitted` {(module, name): entry}.

    `what` names the file in errors. Raises NaswotError, naming the class, where it asks for another one, and where
    it is no whole pickle.
    """
    try:
        return _Unpickler(file, what, admitted, encoding).load()
    # A broken pickle can raise nearly anything; a refused class is told as it is.
    except NaswotError:
        raise
    except Exception as error:
        raise NaswotError(
            f"{what} is broken: it cannot be unpickled ({type(error).__name__}: {error}). Fetch it again."
        ) from error
