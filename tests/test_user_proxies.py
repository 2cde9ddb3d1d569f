"""A user's own proxies: found, checked without running them, and refused in one clear line."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from naswot_ext import user_proxies
from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images, Scored

FILE = """
import math
from math import sqrt as root
try:
    import numpy
except ImportError:
    numpy = None

def depth(network, batch):
    return float(len(list(network.modules())))

depth.title = "modules"
depth.higher_is_better = False

def one(network, batch=None, scale=1.0):
    return scale

def three(network, batch, more):
    def inner(network, batch):
        return 0.0
    return 0.0

class Kind:
    def __init__(self, network, batch):
        pass

if True:
    chosen, also = one, 3.5
"""
BATCH = Images(torch.zeros(2, 3), None, 1)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my_proxies.py"
    path.write_text(FILE)
    return str(path)


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def both_refuse(spec: str, *reasons: str) -> None:
    """`check`, which does not run the file, and `load` say why in one line."""
    for read in (user_proxies.check, user_proxies.load):
        with pytest.raises(NaswotError) as raised:
            read(spec)
        assert "\n" not in str(raised.value)
        for reason in reasons:
            assert reason in str(raised.value)


def load_refuses(spec: str, *reasons: str) -> None:
    user_proxies.check(spec)
    with pytest.raises(NaswotError) as raised:
        user_proxies.load(spec)
    assert "\n" not in str(raised.value)
    for reason in reasons:
        assert reason in str(raised.value)


def test_a_function_with_its_facts_becomes_a_proxy_of_its_name(file: str) -> None:
    user_proxies.check(f"{file}:depth")
    proxy = user_proxies.load(f"{file}:depth")
    assert (proxy.name, proxy.title, proxy.cost) == ("depth", "modules", "a user's own")
    assert not proxy.higher_is_better
    assert not proxy.needs_labels
    assert proxy.score(nn.Sequential(nn.ReLU()), BATCH) == Scored(-2.0)
    assert user_proxies.load(f"{file}:one").score(nn.ReLU(), BATCH) == Scored(1.0)
    assert user_proxies.load(f"{file}:chosen").name == "chosen"


def test_one_made_by_the_decorator_keeps_its_facts_and_stays_out_of_the_registry(tmp_path: Path) -> None:
    text = """
from naswot_ext.proxies import Scored, proxy
from naswot_ext.proxies.params import params

@proxy("another name", title="width", cost="none", needs_labels=True)
def width(network, batch):
    return Scored(params.compute(network, batch).score, 5)
"""
    spec = f"{write(tmp_path / 'decorated.py', text)}:width"
    known = PROXIES.names()
    for _ in range(2):
        user_proxies.check(spec)
        proxy = user_proxies.load(spec)
        assert (proxy.name, proxy.title, proxy.needs_labels) == ("width", "width", True)
    assert proxy.score(nn.Linear(2, 3), BATCH) == (9, 5)
    assert PROXIES.names() == known
    assert PROXIES.get("params").name == "params"
    # Changed, it is run again.
    write(tmp_path / "decorated.py", text.replace("needs_labels=True", "needs_labels=False"))
    assert not user_proxies.load(spec).needs_labels


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("torch.ones(2)", r"returned a Tensor of shape \[2\]"),
        ("float('nan')", "the score is nan"),
        ("None", "returned a NoneType"),
        ("True", "returned a bool"),
    ],
)
def test_what_is_no_number_is_said_when_it_scores(tmp_path: Path, returned: str, reason: str) -> None:
    path = write(tmp_path / "bad.py", f"import torch\ndef bad(network, batch):\n    return {returned}\n")
    proxy = user_proxies.load(f"{path}:bad")
    with pytest.raises(NaswotError, match=reason):
        proxy.score(nn.ReLU(), BATCH)


def test_minus_infinity_is_singular_whichever_way_is_better(tmp_path: Path) -> None:
    text = "def worst(network, batch):\n    return -float('inf')\nworst.higher_is_better = False\n"
    proxy = user_proxies.load(f"{write(tmp_path / 'worst.py', text)}:worst")
    assert proxy.score(nn.ReLU(), BATCH).score == -math.inf


def test_names_are_told_apart_and_a_file_by_its_bytes(file: str) -> None:
    assert user_proxies.is_user_proxy("my.py:f")
    assert not user_proxies.is_user_proxy("naswot")
    assert user_proxies.label(f"{file}:depth") == "depth"
    assert user_proxies.digest(f"{file}:depth") == hashlib.sha256(FILE.encode()).hexdigest()
    with pytest.raises(NaswotError, match=r"absent\.py cannot be read \(No such file or directory; looked for in /"):
        user_proxies.digest("absent.py:depth")


def test_a_name_that_the_file_lacks_is_refused_with_the_nearest(file: str) -> None:
    both_refuse(f"{file}:dept", "function in", "'dept'", "Did you mean 'depth'?")
    # Inside of another function it is out of reach.
    both_refuse(f"{file}:inner", "'inner'")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "../x", "lambda", "a b"])
def test_what_is_no_name_of_a_function_is_refused(file: str, name: str) -> None:
    both_refuse(f"{file}:{name}", "does not name a function in a file", "my_proxies.py:function")


def test_the_name_of_a_registered_proxy_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "def naswot(network, batch):\n    return 0.0\n")
    both_refuse(f"{path}:naswot", "has the name of the proxy naswot", "Rename")
    text = """
from naswot_ext.proxies import proxy

@proxy("zen", title="", cost="")
def mine(network, batch):
    return 0.0
"""
    load_refuses(f"{write(tmp_path / 'theirs.py', text)}:mine", "zen")
    assert PROXIES.get("zen").title == "Zen-Score"


def test_a_file_that_is_missing_a_folder_or_no_python_is_refused(tmp_path: Path) -> None:
    both_refuse(f"{tmp_path}/absent.py:f", "absent.py cannot be read", "No such file")
    (tmp_path / "folder.py").mkdir()
    both_refuse(f"{tmp_path}/folder.py:f", "folder.py cannot be read", "Is a directory")
    both_refuse(f"{write(tmp_path / 'broken.py', 'def f(:')}:f", "broken.py", "line 1")
    both_refuse(f"{write(tmp_path / 'bytes.py', bytes(range(256)))}:f", "bytes.py")
    both_refuse(f"{write(tmp_path / 'null.py', b'f = 1' + bytes(1))}:f", "null.py")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_file_that_fails_when_it_is_run_says_so(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path / "fails.py", f"def f(network, batch):\n    return 0.0\n{line}\n")
    load_refuses(f"{path}:f", "fails.py cannot be imported", reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("also", "is a float; name a function"),
        ("math", "is a module; name a function"),
        ("Kind", "is a type; name a function"),
        ("three", "cannot be called with (network, batch): missing a required argument: 'more'"),
        ("root", "cannot be called with (network, batch): too many positional arguments"),
    ],
)
def test_what_is_no_function_of_a_network_and_a_batch_is_refused(file: str, name: str, reason: str) -> None:
    load_refuses(f"{file}:{name}", f"{file}:{name} {reason}")


@pytest.mark.parametrize(
    ("fact", "reason"),
    [("needs_labels = 'no'", "needs_labels = 'no'; it must be True or False"), ("title = 3", "must be a text")],
)
def test_a_fact_of_another_kind_is_refused(tmp_path: Path, fact: str, reason: str) -> None:
    path = write(tmp_path / "facts.py", f"def f(network, batch):\n    return 0.0\nf.{fact}\n")
    load_refuses(f"{path}:f", reason)


def test_a_star_import_may_bring_any_name_and_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "neighbour.py", "def far(network, batch):\n    return 4.0\n")
    path = write(tmp_path / "near.py", "from neighbour import *\n")
    user_proxies.check(f"{path}:far")
    assert user_proxies.load(f"{path}:far").score(nn.ReLU(), BATCH) == Scored(4.0)
    load_refuses(f"{path}:further", "'further'")


def test_a_config_is_checked_without_torch_and_without_running_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "def f(network, batch):\n    return 0.0\nprint('run')\n")
    program = (
        "import sys; from naswot_ext import user_proxies as u; spec = sys.argv[1]; "
        "u.check(spec); u.digest(spec); u.label(spec); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program, f"{path}:f"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


CARELESS = """
import sys
import torch

def spoils(network, batch):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.manual_seed(3)
    network.eval()
    for parameter in network.parameters():
        parameter.zero_()
    batch.images.zero_()
    batch.labels.zero_()
    return 1.0

def slope(network, batch):
    x = batch.images.requires_grad_()
    network(x).sum().backward()
    return x.grad.sum().item()

def leaves(network, batch):
    sys.exit(0)

def fails(network, batch):
    return inner(network)

def inner(network):
    raise ValueError("two" + chr(10) + "lines")
"""


def test_whatever_one_does_network_images_and_torch_are_as_before(tmp_path: Path) -> None:
    file = write(tmp_path / "careless.py", CARELESS)
    network, labels = nn.Linear(3, 1), torch.ones(2, dtype=torch.int64)
    batch = Images(torch.ones(2, 3), labels, 2)

    def state() -> tuple[object, ...]:
        tensors = [*network.parameters(), batch.images, labels]
        torch_is = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed())
        return ([t.tolist() for t in tensors], network.training, torch_is, torch.get_rng_state().tolist())

    before = state()
    for name, value in (("spoils", 1.0), ("slope", 2 * float(network.weight.detach().sum()))):
        assert user_proxies.load(f"{file}:{name}").score(network, batch).score == pytest.approx(value, rel=1e-5)
        assert state() == before
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not batch.images.requires_grad
    with torch.no_grad():
        user_proxies.load(f"{file}:slope").score(network, batch)


@pytest.mark.parametrize(
    ("name", "reason"), [("leaves", "SystemExit: 0 ({}, line 23)"), ("fails", "ValueError: two lines ({}, line 29)")]
)
def test_one_that_raises_or_ends_says_on_which_line_of_its_file(name: str, reason: str, tmp_path: Path) -> None:
    file = write(tmp_path / "careless.py", CARELESS)
    with pytest.raises(NaswotError) as raised:
        user_proxies.load(f"{file}:{name}").score(nn.Linear(3, 1), BATCH)
    assert str(raised.value) == reason.format(file)


def test_facts_given_to_the_decorator_are_checked_too(tmp_path: Path) -> None:
    text = """
from naswot_ext.proxies import proxy

@proxy("f", title="f", cost="none", higher_is_better="no")
def f(network, batch):
    return 0.0
"""
    load_refuses(f"{write(tmp_path / 'facts.py', text)}:f", "higher_is_better = 'no'; it must be True or False")
