"""The searches that train a supernet learn, choose by what they learnt, and survive being killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from naswot_ext.searches import Setting, _darts
from naswot_ext.searches._darts import look_ahead, mixed_product
from naswot_ext.searches.enas import Controller
from naswot_ext.searches.gdas import sampled_gates
from naswot_ext.searches.setn import likeliest
from naswot_ext.spaces.nasbench201 import OPERATIONS, parse
from naswot_ext.supernets import session
from naswot_ext.supernets.nasbench201 import Supernet, strongest
from naswot_ext.supernets.session import generator
from naswot_ext.supernets.training import Batch, Halves
from tests.conftest import REPOSITORY
from tests.supernets.toy import CLASSES, blobs, parts, search, setting, trained

NAMES = ("rsps", "darts_v1", "darts_v2", "gdas", "setn", "enas")
SHORT: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 0.05,
    "learning_rate_period": 10,
    "augment": False,
    # So short a training leaves no good running statistics.
    "track_running_stats": False,
    "alpha_learning_rate": 0.03,
    "samples": 30,
    "evaluation_batch": 128,
    "controller_steps": 3,
    "controller_aggregate": 5,
    "controller_learning_rate": 0.02,
}


def held_out(where: Setting) -> Batch:
    """The whole validation half."""
    return Halves(where, "test", 16, False).in_turn(0, 10**6, False, "all")


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Percent; chance is 25."""
    return float(100 * (logits.argmax(1) == labels).double().mean())


def operations(name: str) -> list[int]:
    return [OPERATIONS.index(operation) for operation in parse(name)]


@pytest.mark.parametrize("name", ["rsps", "setn", "enas", "gdas"])
def test_the_choice_does_better_with_the_shared_weights_than_random_architectures_and_chance(
    name: str, tmp_path: Path
) -> None:
    where = setting(tmp_path / "c.pt", count=384, **SHORT)
    outcome = search(name, where)
    net, batch = trained(where.checkpoint), held_out(where)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        chosen = accuracy(net.path(batch.images, operations(outcome.arch)), batch.labels)
        others = [accuracy(net.path(batch.images, rng.integers(5, size=6).tolist()), batch.labels) for _ in range(40)]
    assert chosen > 50
    assert chosen > np.mean(others)


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2", "setn"])
def test_the_mixture_learns_and_alpha_makes_it_better_than_a_uniform_one(name: str, tmp_path: Path) -> None:
    # The look-ahead takes four passes where the others take two.
    where = setting(tmp_path / "c.pt", count=384, **SHORT | ({"epochs": 4} if name == "darts_v2" else {}))
    outcome = search(name, where)
    net, batch = trained(where.checkpoint), held_out(where)
    # From within a thousandth of zero.
    assert net.alpha.abs().max() > 0.05
    with torch.no_grad():
        learnt, uniform = (net(batch.images, x) for x in (functional.softmax(net.alpha, 1), torch.full((6, 5), 0.2)))
    assert accuracy(learnt, batch.labels) > 60
    assert functional.cross_entropy(learnt, batch.labels) < functional.cross_entropy(uniform, batch.labels)
    if name != "setn":
        assert outcome.arch == strongest(net.alpha)


def test_gdas_moves_alpha_and_takes_its_largest(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt", count=256, **SHORT | {"epochs": 2})
    outcome = search("gdas", where)
    net = trained(where.checkpoint)
    assert net.alpha.abs().max() > 0.05
    assert outcome.arch == strongest(net.alpha)


def test_the_controller_of_enas_learns_what_is_rewarded() -> None:
    torch.manual_seed(0)
    controller = Controller()
    optimiser = torch.optim.Adam(controller.parameters(), 0.02)

    def share(offset: int) -> float:
        with torch.no_grad():
            drawn = [controller(generator(offset, "draw", i))[2] for i in range(50)]
        return float(np.mean([path.count(3) for path in drawn]) / 6)

    before = share(0)
    for step in range(60):
        optimiser.zero_grad()
        likelihood, entropy, path = controller(generator(0, "learn", step))
        assert 0 < entropy < 6 * np.log(5) + 1e-4
        (-likelihood * (path.count(3) / 6 - before)).backward()
        optimiser.step()
    assert before < 0.4
    assert share(1) > 0.7


def test_the_likelihood_of_a_draw_of_enas_is_that_of_its_operations() -> None:
    torch.manual_seed(0)
    controller = Controller()
    with torch.no_grad():
        counts: dict[int, int] = {}
        likelihood: dict[int, float] = {}
        for i in range(1000):
            total, entropy, path = controller(generator(0, i))
            counts[path[0]] = counts.get(path[0], 0) + 1
            likelihood[path[0]] = float(total)
        # An untrained controller draws nearly uniformly.
        assert all(abs(count / 1000 - 0.2) < 0.05 for count in counts.values())
        assert all(abs(value + 6 * np.log(5)) < 0.5 for value in likelihood.values())
        assert abs(float(entropy) - 6 * np.log(5)) < 0.05


def test_gates_are_drawn_as_often_as_the_softmax_of_alpha_says() -> None:
    alpha = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    counts = torch.zeros(6, 5)
    for i in range(4000):
        gates, chosen = sampled_gates(alpha, 0.5, generator(0, i))
        assert torch.equal(gates, functional.one_hot(torch.tensor(chosen), 5).float())
        counts += gates
    torch.testing.assert_close(counts / 4000, functional.softmax(alpha, 1), rtol=0, atol=0.03)


def test_gates_pass_the_gradient_of_the_softmax_at_the_temperature() -> None:
    alpha = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    gates, _ = sampled_gates(alpha, 2.0, generator(0))
    noise = -torch.empty(6, 5).exponential_(generator=generator(0)).log().double()
    soft = functional.softmax((alpha.log_softmax(1) + noise) / 2.0, 1)
    weights = torch.arange(30.0, dtype=torch.float64).view(6, 5)
    (ours,) = torch.autograd.grad((gates * weights).sum(), [alpha])
    (expected,) = torch.autograd.grad((soft * weights).sum(), [alpha])
    torch.testing.assert_close(ours, expected)


def test_the_likeliest_paths_are_the_likeliest_of_all() -> None:
    alpha = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    logs = functional.log_softmax(alpha.double(), 1)
    all_paths = sorted(
        itertools.product(range(5), repeat=6), key=lambda path: -sum(float(logs[e, o]) for e, o in enumerate(path))
    )
    assert likeliest(alpha, 20) == [list(path) for path in all_paths[:20]]
    assert len(likeliest(alpha, 10**6)) == 15625


def double_net() -> tuple[Supernet, Batch, Batch]:
    torch.manual_seed(3)
    net = Supernet(2, 1, CLASSES).double()
    images, labels = blobs(24)
    tensors = torch.as_tensor(images).double(), torch.as_tensor(labels)
    return net, Batch(tensors[0][:12], tensors[1][:12]), Batch(tensors[0][12:], tensors[1][12:])


@pytest.fixture
def _near(monkeypatch: pytest.MonkeyPatch) -> None:
    # So near that no ReLU has its kink between the two sides of the difference.
    monkeypatch.setattr(_darts, "_DISTANCE", 1e-6)


@pytest.mark.usefixtures("_near")
def test_the_product_with_the_second_derivative_is_that_of_automatic_differentiation() -> None:
    net, batch, _ = double_net()
    weights = dict(net.weights())
    random = torch.Generator().manual_seed(0)
    vector = [torch.randn(w.shape, dtype=torch.float64, generator=random) for w in weights.values()]
    loss = functional.cross_entropy(net(batch.images, functional.softmax(net.alpha, 1)), batch.labels)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    product = sum((g * v).sum() for g, v in zip(gradients, vector, strict=True))
    (exact,) = torch.autograd.grad(product, [net.alpha])
    found = mixed_product(net, weights, batch, vector)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("_near")
def test_the_look_ahead_is_the_gradient_of_the_validation_loss_after_one_step_of_the_weights() -> None:
    net, training, validation = double_net()
    optimiser = torch.optim.SGD([w for _, w in net.weights()], 0.05, momentum=0.9, weight_decay=0.01)
    for parameter in optimiser.param_groups[0]["params"]:
        optimiser.state[parameter]["momentum_buffer"] = torch.full_like(parameter, 0.001)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    loss, gradient = look_ahead(net, optimiser, training, validation)
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)

    def plain(alpha: torch.Tensor) -> float:
        other = Supernet(2, 1, CLASSES).double()
        other.load_state_dict({**before, "alpha": alpha})
        own = torch.optim.SGD([w for _, w in other.weights()], 0.05, momentum=0.9, weight_decay=0.01)
        for parameter in own.param_groups[0]["params"]:
            own.state[parameter]["momentum_buffer"] = torch.full_like(parameter, 0.001)
        functional.cross_entropy(other(training.images, functional.softmax(alpha, 1)), training.labels).backward()
        own.step()
        with torch.no_grad():
            logits = other(validation.images, functional.softmax(alpha, 1))
            return float(functional.cross_entropy(logits, validation.labels))

    assert float(loss) == pytest.approx(plain(before["alpha"]))
    step, expected = 1e-6, torch.zeros(6, 5, dtype=torch.float64)
    for edge in range(6):
        for operation in range(5):
            moved = torch.zeros_like(expected)
            moved[edge, operation] = step
            expected[edge, operation] = (plain(before["alpha"] + moved) - plain(before["alpha"] - moved)) / (2 * step)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)
    # What the first order would take instead is far from that.
    loss = functional.cross_entropy(net(validation.images, functional.softmax(net.alpha, 1)), validation.labels)
    (first_order,) = torch.autograd.grad(loss, [net.alpha])
    assert float((first_order - expected).norm()) > 0.1 * float(expected.norm())


SMALL: dict[str, Any] = {**SHORT, "epochs": 2, "batch_size": 8, "samples": 5, "controller_steps": 2, "augment": True}


@pytest.mark.parametrize("name", NAMES)
def test_a_search_stopped_in_the_middle_of_an_epoch_goes_on_to_the_same_weights_and_result(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    whole = setting(tmp_path / "whole.pt", count=64, say=said.append, **SMALL)
    outcome = search(name, whole)
    assert any("2 epochs and 0 of" in line and "accuracy" in line for line in said)
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(session, "SAY_SECONDS", 0.0)

    def stop(line: str) -> None:
        if "1 epochs and 3 of" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(name, setting(tmp_path / "killed.pt", count=64, say=stop, **SMALL))
    said.clear()
    again = search(name, setting(tmp_path / "killed.pt", count=64, say=said.append, **SMALL))
    assert "goes on after step" in said[0]
    assert (again.arch, again.evaluations) == (outcome.arch, outcome.evaluations)
    assert_equal(parts(whole.checkpoint), parts(tmp_path / "killed.pt"))


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def test_a_search_that_is_killed_outright_goes_on_to_the_same_weights_and_result(tmp_path: Path) -> None:
    options = {**SMALL, "epochs": 3}
    script = (
        "import sys, time, torch; from pathlib import Path; from naswot_ext.supernets import session\n"
        "from tests.supernets.toy import search, setting\n"
        "session.SAVE_SECONDS = session.SAY_SECONDS = 0.0; torch.set_num_threads(1)\n"
        # The one that is killed stops in its last epoch: however late it is, it has not come to its end.
        "def say(line):\n"
        "    print(line, flush=True)\n"
        "    if '2 epochs and 3 of' in line and sys.argv[2:]: time.sleep(600)\n"
        f"print(search('gdas', setting(Path(sys.argv[1]), count=64, say=say, **{options!r})).arch, flush=True)\n"
    )

    def start(checkpoint: Path, *stops: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(checkpoint), *stops]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ})

    killed = tmp_path / "killed.pt"
    process = start(killed, "stops")
    assert process.stdout is not None
    for line in process.stdout:
        if "1 epochs and 2 of" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    printed = start(killed).communicate()[0].splitlines()
    assert "goes on after step" in printed[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = search("gdas", setting(tmp_path / "whole.pt", count=64, **options))
    finally:
        torch.set_num_threads(threads)
    assert printed[-1] == whole.arch
    assert_equal(parts(killed), parts(tmp_path / "whole.pt"))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_the_same_each_time_and_another_seed_gives_other_weights(name: str, tmp_path: Path) -> None:
    options = {**SMALL, "epochs": 1}
    first, again, other = (
        setting(tmp_path / f"{i}.pt", count=32, seed=seed, **options) for i, seed in enumerate((0, 0, 1))
    )
    outcomes = [search(name, where) for where in (first, again, other)]
    assert outcomes[0].arch == outcomes[1].arch
    assert outcomes[0].evaluations == outcomes[1].evaluations > 0
    assert_equal(parts(first.checkpoint), parts(again.checkpoint))
    a, b = (parts(where.checkpoint)["supernet"]["stages.0.0.weight"] for where in (first, other))
    assert not torch.equal(a, b)


def test_one_epoch_is_enough_for_every_search(tmp_path: Path) -> None:
    for name in NAMES:
        options = {**SMALL, "epochs": 1, "controller_steps": 1}
        assert len(parse(search(name, setting(tmp_path / f"{name}.pt", count=32, **options)).arch)) == 6
