"""Networks named on the command line: ``torchvision:resnet18``, ``my_file.py:make_model``, ``nasbench201:6224``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from torch import nn

from naswot_ext.errors import NaswotError, one_line, unknown
from naswot_ext.spaces import SPACES


def builder(spec: str) -> Callable[[], nn.Module]:
    """The function that builds the network that `spec` names.

    `spec` is ``torchvision:NAME``, ``SPACE:INDEX`` or ``SPACE:ARCHITECTURE``, ``FILE.py:FUNCTION`` or
    ``PACKAGE.MODULE:FUNCTION``; FUNCTION takes no argument and returns a torch.nn.Module, or is one.
    Raises NaswotError where there is no such thing.
    """
    home, colon, name = spec.partition(":")
    if not (home and colon and name):
        raise NaswotError(
            f"{spec!r} does not name a network. Use torchvision:resnet18, my_file.py:make_model, "
            "package.module:make_model or nasbench201:6224."
        )
    if home == "torchvision":
        return _torchvision(name)
    if home in SPACES.names():
        space = SPACES.get(home)
        architecture = space.find(name)
        return lambda: space.build(architecture, num_classes=10)
    return _user_function(spec, home, name)


def _torchvision(name: str) -> Callable[[], nn.Module]:
    try:
        from torchvision import models
    except ImportError as error:
        raise NaswotError(f"torchvision cannot be imported ({error}). Install the version for your torch.") from error
    # The classifiers only: detection and segmentation networks take other inputs and fetch pretrained parts.
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("torchvision model", name, known)
    return lambda: models.get_model(name, weights=None)


def _user_function(spec: str, home: str, name: str) -> Callable[[], nn.Module]:
    module = load_module(home)
    public = [entry for entry in vars(module) if not entry.startswith("_")]
    if not hasattr(module, name):
        raise unknown(f"name in {home}:", name, public)
    entry = getattr(module, name)

    def build() -> nn.Module:
        network = entry if isinstance(entry, nn.Module) else entry()
        if not isinstance(network, nn.Module):
            raise NaswotError(f"{spec} gave a {type(network).__name__}; it must return a torch.nn.Module.")
        return network

    if not callable(entry):
        raise NaswotError(f"{spec} is a {type(entry).__name__}; name a function that returns a torch.nn.Module.")
    return build


def load_module(home: str) -> ModuleType:
    """The module of a user's file, or of a dotted name, run; raises NaswotError with what it raised."""
    path = Path(home)
    is_file = home.endswith(".py")
    if is_file and not path.is_file():
        raise NaswotError(f"No such file: {home}. Correct the path of the network's file.")
    # The user's file may import its neighbours, as it could when run as a program.
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    try:
        if not is_file:
            return importlib.import_module(home)
        found = importlib.util.spec_from_file_location(path.stem, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules.setdefault(path.stem, module)
        found.loader.exec_module(module)
        return module
    # The user's own code may raise anything, or end as programs do; its message and place are what they need.
    except (Exception, SystemExit) as error:
        raise NaswotError(f"{home} cannot be imported: {type(error).__name__}: {one_line(error)}") from error
