"""A long computation in equal steps that survives being killed: its state goes to a file, and a later call goes on.

Nothing random is part of the state: each step draws from generators of its own, seeded by what the step is for (see
`generator`), so a run that was killed and goes on computes what it would have computed.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from naswot_ext.errors import one_line
from naswot_ext.files import atomic_path
from naswot_ext.searches import Setting
from naswot_ext.seeds import derive

_FORMAT = 1
# A killed job loses no more work than this. Writing the 14 MB of the benchmark's supernet takes a quarter of a second.
SAVE_SECONDS = 60.0
SAY_SECONDS = 30.0


class Stateful(Protocol):
    """What can be saved: networks, optimisers, `Record`."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Record:
    """Named tensors and numbers that a search keeps from step to step, on `device`."""

    def __init__(self, device: str, **values: Any) -> None:
        self._device = device
        self.values = {name: self._placed(value) for name, value in values.items()}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.values[name] = value

    def state_dict(self) -> dict[str, Any]:
        return dict(self.values)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.values = {name: self._placed(value) for name, value in state.items()}

    def _placed(self, value: Any) -> Any:
        return value.to(self._device) if isinstance(value, torch.Tensor) else value


def generator(seed: int, *what_for: str | int) -> torch.Generator:
    """A random generator on the CPU, so that it is the same for every device; it depends on its arguments alone."""
    return torch.Generator().manual_seed(derive(seed, *what_for))


class Session:
    """The steps of one run of a search, and the clock that counts its seconds over all calls.

    Make it before anything else, so that setting up counts.
    """

    def __init__(self, setting: Setting, algorithm: str) -> None:
        self._started = time.perf_counter()
        self._earlier = 0.0
        self._setting = setting
        self.name = f"{algorithm}, run {setting.number}"
        self._identity = _identity(setting, algorithm)

    def seconds(self) -> float:
        """Wall seconds of this call, and of earlier ones up to the last time that they saved."""
        return self._earlier + time.perf_counter() - self._started

    def steps(
        self, total: int, parts: Mapping[str, Stateful], check: Callable[[], None], describe: Callable[[int], str]
    ) -> Iterator[int]:
        """The numbers of the steps that are still to do, of 0 to `total` - 1; the state of `parts` is loaded before.

        While the caller works on a step nothing else happens; between steps, now and then, `check` (which raises where
        the search has gone wrong) is called, the state saved, and `describe(steps done)` said.
        """
        done = self._load(total, parts)
        saved = said = time.perf_counter()
        for number in range(done, total):
            yield number
            now, last = time.perf_counter(), number + 1 == total
            if last or now - said >= SAY_SECONDS:
                check()
                self._setting.say(f"{self.name}: {describe(number + 1)}, {self.seconds():.0f} s")
                said = time.perf_counter()
            if last or now - saved >= SAVE_SECONDS:
                check()
                self._save(number + 1, parts)
                saved = time.perf_counter()

    def _save(self, done: int, parts: Mapping[str, Stateful]) -> None:
        state = {
            "identity": self._identity,
            "done": done,
            "seconds": self.seconds(),
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        # Into memory first: written by torch, a full disk would be a RuntimeError about its format.
        content = io.BytesIO()
        torch.save(state, content)
        with atomic_path(self._setting.checkpoint) as temporary:
            temporary.write_bytes(content.getbuffer())

    def _load(self, total: int, parts: Mapping[str, Stateful]) -> int:
        path, say = self._setting.checkpoint, self._setting.say
        if not path.exists():
            return 0
        # Kept as it was built, should loading stop half-way.
        fresh = {name: _copied(part.state_dict()) for name, part in parts.items()}
        try:
            with open(path, "rb") as file:
                state = torch.load(file, map_location="cpu", weights_only=True)
            if state["identity"] != self._identity:
                say(
                    f"{self.name}: starts anew, {path} is of another search, setting, set of images or version of the "
                    "code."
                )
                return 0
            for name, part in parts.items():
                part.load_state_dict(state["parts"][name])
            done, self._earlier = int(state["done"]), float(state["seconds"])
        except _DAMAGED as error:
            for name, part in parts.items():
                part.load_state_dict(fresh[name])
            say(f"{self.name}: starts anew, the checkpoint {path} is damaged ({one_line(error)[:120]}).")
            return 0
        say(f"{self.name}: goes on after step {done} of {total}, {self._earlier:.0f} s were spent before.")
        return done


# What torch.load raises for a file that is cut or is something else, and loading a state that does not fit.
_DAMAGED = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OSError,
            pickle.UnpicklingError, zipfile.BadZipFile)  # fmt: skip


def _copied(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state


def _identity(setting: Setting, algorithm: str) -> str:
    """A digest of all that the result depends on, but for the device and the number of threads."""
    facts = [
        _FORMAT,
        algorithm,
        setting.space.name,
        dict(setting.space.network),
        dict(setting.options),
        setting.seed,
        setting.number,
        setting.code,
        setting.classes,
        list(setting.images.shape),
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    digest.update(np.ascontiguousarray(setting.images).data)
    if setting.labels is not None:
        digest.update(np.ascontiguousarray(setting.labels).data)
    return digest.hexdigest()
