"""NAS-Bench-101 against the reference code's own networks, facts of the official file, and brute force."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from naswot_ext.spaces.nasbench101 import OPERATIONS, Cell, cell_hash, parse, prune, vertex_channels

SPACE = SPACES.get("nasbench101")
C3, C1, POOL = OPERATIONS
# The first cell of the official file: the sources of vertices 1 to 6, its hash, its parameters.
OFFICIAL = Cell(((), (0,), (1,), (2,), (0,), (0, 3, 4), (2, 5)), ("input", C3, POOL, C3, C3, C1, "output"))
OFFICIAL_HASH, OFFICIAL_PARAMS = "00005c142e6f48ac74fdcf73e3439874", 8_555_530
# The Inception-like cell of the official example, and its parameters.
INCEPTION = Cell(((), (0,), (0,), (0,), (0,), (4,), (1, 2, 3, 5)), ("input", C3, C1, POOL, C3, C3, "output"))
INCEPTION_PARAMS = 2_694_282
# Vertex 2 is fed but feeds nothing; vertex 3 feeds but is not fed.
UNPRUNED = "0110000001000000000100000 input,conv3x3-bn-relu,maxpool3x3,maxpool3x3,output"


@pytest.mark.parametrize(("cell", "params"), [(OFFICIAL, OFFICIAL_PARAMS), (INCEPTION, INCEPTION_PARAMS)])
def test_the_benchmarks_own_network_has_the_parameters_of_the_official_file(cell: Cell, params: int) -> None:
    network = SPACE.with_network(stem_channels=128).build(str(cell), num_classes=10)
    assert sum(p.numel() for p in network.parameters()) == params


def test_the_hash_is_that_of_the_official_file() -> None:
    assert cell_hash(OFFICIAL) == SPACE.key(str(OFFICIAL)) == OFFICIAL_HASH


def relabelled(cell: Cell, order: Sequence[int]) -> Cell:
    place = {vertex: i for i, vertex in enumerate(order)}
    sources = tuple(tuple(sorted(place[source] for source in cell.sources[vertex])) for vertex in order)
    return Cell(sources, tuple(cell.operations[vertex] for vertex in order))


def isomorphs(cell: Cell) -> set[Cell]:
    """The cell in every order of its vertices in which edges lead to later ones."""
    last = len(cell.operations) - 1
    orders = [(0, *order, last) for order in itertools.permutations(range(1, last))] if last > 1 else [(0, 1)]
    found = [relabelled(cell, order) for order in orders]
    return {f for f in found if all(s < t for s, t in f.edges)}


def every_cell(vertices: int) -> list[Cell]:
    """Every pruned cell of `vertices` vertices in every order."""
    choices = [
        [
            sources
            for size in range(vertex + 1)
            for sources in itertools.combinations(range(vertex), size)
            if size or not vertex
        ]
        for vertex in range(vertices)
    ]
    graphs = [sources for sources in itertools.product(*choices) if len(set().union(*sources)) == vertices - 1]
    return [
        Cell(sources, ("input", *between, "output"))
        for sources in graphs
        if sum(map(len, sources)) <= 9
        for between in itertools.product(OPERATIONS, repeat=vertices - 2)
    ]


@pytest.fixture(scope="module")
def small_cells() -> list[Cell]:
    """Every pruned cell of at most four vertices, in every order."""
    return [cell for vertices in (2, 3, 4) for cell in every_cell(vertices)]


def test_two_cells_have_the_same_hash_where_they_are_isomorphic_and_only_there(small_cells: list[Cell]) -> None:
    names = {cell: cell_hash(cell) for cell in small_cells}
    classes = {frozenset(isomorphs(cell)) for cell in small_cells}
    assert len(set(names.values())) == len(classes) == 1 + 6 + 84
    for members in classes:
        assert len({names[cell] for cell in members}) == 1


def test_the_space_has_as_many_cells_of_five_vertices_as_the_benchmark() -> None:
    # 1, 6, 84, 2,441, 62,010 and 359,082 cells of 2 to 7 vertices make the official 423,624; perf/nasbench101.py
    # finds them all.
    assert len({cell_hash(cell) for cell in every_cell(5)}) == 2_441


def test_cells_of_the_subset_have_the_same_hash_where_the_file_has_the_same_runs(real_data) -> None:
    table = pd.read_csv(real_data("nasbench101_subset.csv.gz"))
    listing = [
        SPACE.canonical(f'{{"operations": {operations}, "adjacency": {adjacency}}}')
        for adjacency, operations in zip(table["adjacency"], table["operations"], strict=True)
    ]
    # Each is an entry of its own, whatever else is isomorphic to it.
    assert len(set(listing)) == len(listing) == 3_609
    accuracies = table[[f"{part}_{run}" for part in ("valid", "test") for run in (1, 2, 3)]]
    # Seven cells diverged: all their runs are at the same chance level.
    trained = (accuracies > 11).any(axis=1)
    assert (~trained).sum() == 7
    names = pd.Series([SPACE.key(architecture) for architecture in listing])
    runs = accuracies.astype(str).agg(" ".join, axis=1)
    pairs = pd.DataFrame({"name": names, "runs": runs})[trained].drop_duplicates()
    assert pairs["name"].is_unique
    assert pairs["runs"].is_unique
    assert len(pairs) == 3_251


def test_a_listing_gives_isomorphic_entries_their_first_index() -> None:
    twin = next(iter(isomorphs(OFFICIAL) - {OFFICIAL}))
    space = SPACE.with_listing([str(INCEPTION), str(OFFICIAL), str(twin)])
    assert [space.architecture(i) for i in range(len(space))] == [str(INCEPTION), str(OFFICIAL), str(twin)]
    assert [space.index(str(cell)) for cell in (INCEPTION, OFFICIAL, twin)] == [0, 1, 1]


def test_the_string_form_and_both_forms_of_json_are_the_same_cell_in_one_form() -> None:
    form = str(OFFICIAL)
    digits, operations = form.split()
    matrix = [[int(digit) for digit in digits[row * 7 : row * 7 + 7]] for row in range(7)]
    assert SPACE.canonical(form) == form
    assert parse(form) == OFFICIAL
    for other in (
        f"  {digits}\t{operations.replace(',', ' , ')}\n",
        json.dumps({"adjacency": matrix, "operations": operations.split(",")}),
        json.dumps({"operations": operations, "adjacency": digits}, indent=2),
    ):
        assert SPACE.canonical(other) == form


def test_an_unpruned_cell_keeps_its_form_and_is_built_named_and_edited_as_the_pruned_one() -> None:
    pruned = str(prune(parse(UNPRUNED)))
    assert pruned == "010001000 input,conv3x3-bn-relu,output"
    assert SPACE.canonical(UNPRUNED) == UNPRUNED
    assert SPACE.key(UNPRUNED) == SPACE.key(pruned)
    assert SPACE.neighbours(UNPRUNED) == SPACE.neighbours(pruned)
    assert str(SPACE.build(UNPRUNED)) == str(SPACE.build(pruned))


@pytest.mark.parametrize(
    ("cell", "channels"),
    [
        # The output's 16 channels are shared by three; the first gets the one that is left over.
        (Cell(((), (0,), (0,), (0,), (1, 2, 3)), ("input", C3, C3, C3, "output")), [8, 6, 5, 5, 16]),
        # Vertex 1 feeds one of 6 and one of 5 channels, and truncates for the second.
        (Cell(((), (0,), (1,), (1,), (0,), (2, 3, 4)), ("input", C3, C3, C3, C1, "output")), [8, 6, 6, 5, 5, 16]),
        (Cell(((), (0,), (0, 1)), ("input", POOL, "output")), [8, 16, 16]),
        (Cell(((), (0,)), ("input", "output")), [8, 16]),
    ],
)
def test_channels_are_shared_as_in_the_benchmark(cell: Cell, channels: list[int]) -> None:
    assert vertex_channels(cell, 8, 16) == channels


def test_a_cell_computes_what_its_definition_says() -> None:
    # Vertices 1 (6 channels) and 2 (5, fed by a truncated 1 and the input), an output that also adds the input.
    cell = Cell(((), (0,), (0, 1), (0,), (0, 1, 2, 3)), ("input", C3, C1, POOL, "output"))
    torch.manual_seed(0)
    module = next(m for m in SPACE.build(str(cell)).modules() if type(m).__name__ == "CellModule")
    x = torch.randn(2, 16, 8, 8)
    first = module.operations["1"](module.projections["1"](x))
    second = module.operations["2"](first[:, :5] + module.projections["2"](x))
    third = torch.nn.functional.max_pool2d(module.projections["3"](x), 3, 1, 1)
    expected = torch.cat([first, second, third], 1) + module.projections["4"](x)
    torch.testing.assert_close(module(x), expected)


def test_no_sum_changes_the_stored_output_of_a_rectifier() -> None:
    # The output adds the input to the one vertex that feeds it: the case in which the reference code added in place.
    network = SPACE.build("011001000 input,conv3x3-bn-relu,output")
    stored: list[tuple[torch.Tensor, torch.Tensor]] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, inputs, output: stored.append((output, output.clone())))
    network(torch.randn(2, 3, 8, 8))
    assert len(stored) == 1 + 9 * 3
    assert all(torch.equal(output, then) for output, then in stored)


def test_weights_are_drawn_as_in_the_benchmark() -> None:
    torch.manual_seed(0)
    network = SPACE.with_network(stem_channels=64, stacks=1, modules=1).build(
        "010001000 input,conv3x3-bn-relu,output", 400
    )
    convolution = next(m for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() == 64 * 64 * 9)
    deviation = 1 / math.sqrt(64 * 9)
    assert float(convolution.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    # Two deviations of the normal distribution before its truncation, which narrows it by 0.8796.
    assert float(convolution.weight.detach().abs().max()) == pytest.approx(2 * deviation / 0.8796, rel=1e-3)
    classifier = network[-1]
    assert float(classifier.weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / (64 + 400)), rel=1e-3)
    assert not classifier.bias.any()


def test_the_skeleton_follows_the_options_and_any_image_size() -> None:
    network = SPACE.with_network(stem_channels=8, stacks=2, modules=1).build(str(OFFICIAL), num_classes=7)
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 7)
    assert sum(type(module).__name__ == "CellModule" for module in network) == 2


def test_a_stem_too_narrow_for_a_cell_is_refused() -> None:
    with pytest.raises(NaswotError, match=r"4 vertices of .* share the output's channels, but stem_channels is 3"):
        SPACE.with_network(stem_channels=3).build(str(INCEPTION))


def brute_force(cell: Cell) -> set[str]:
    """The hashes of all cells that are one edit from `cell`, found from every order of its vertices."""
    found = set()
    for given in isomorphs(cell):
        size, edges = len(given.operations), set(given.edges)
        for pair in itertools.combinations(range(size), 2):
            found |= named(edges ^ {pair}, given.operations)
        for vertex, operation in itertools.product(range(1, size - 1), OPERATIONS):
            found |= named(edges, [*given.operations[:vertex], operation, *given.operations[vertex + 1 :]])
        for place in range(1, size):
            # A vertex at `place`, and the others behind it.
            moved = {(s + (s >= place), t + (t >= place)) for s, t in edges}
            for source, target in itertools.product(range(place), range(place + 1, size + 1)):
                for operation in OPERATIONS:
                    between = [*given.operations[:place], operation, *given.operations[place:]]
                    found |= named(moved | {(source, place), (place, target)}, between)
    return found - {cell_hash(cell)}


def named(edges: set[tuple[int, int]], operations: Sequence[str]) -> set[str]:
    size = len(operations)
    digits = "".join("01"[(source, target) in edges] for source in range(size) for target in range(size))
    try:
        return {SPACE.key(f"{digits} {','.join(operations)}")}
    except NaswotError:
        return set()


def edited_cells() -> list[Cell]:
    rng = random.Random(1)
    random_cells = [rng.choice(every_cell(5)) for _ in range(6)]
    full = Cell(((), (0,), (0, 1), (0, 1, 2), (0, 1, 3)), ("input", C3, C1, POOL, "output"))
    return [OFFICIAL, INCEPTION, full, parse("0100 input,output"), *random_cells]


@pytest.mark.parametrize("cell", edited_cells(), ids=str)
def test_neighbours_are_all_single_edits_once_each(cell: Cell) -> None:
    neighbours = SPACE.neighbours(str(cell))
    names = [SPACE.key(neighbour) for neighbour in neighbours]
    assert len(set(names)) == len(names)
    assert set(names) == brute_force(cell)
    assert SPACE.neighbours(str(cell)) == neighbours
    for neighbour in neighbours:
        assert SPACE.canonical(neighbour) == neighbour
        assert prune(parse(neighbour)) == parse(neighbour)


def test_mutations_are_uniform_among_the_neighbours_and_can_grow_and_shrink_a_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    architecture = str(parse("0110001100010000 input,conv3x3-bn-relu,maxpool3x3,output"))
    neighbours = SPACE.neighbours(architecture)
    sizes = {len(parse(neighbour).operations) for neighbour in neighbours}
    assert sizes == {3, 4, 5}
    rng = np.random.default_rng(0)
    monkeypatch.setattr(type(SPACE), "neighbours", lambda space, given: neighbours)
    draws = 200 * len(neighbours)
    drawn = pd.Series([SPACE.mutate(architecture, rng) for _ in range(draws)]).value_counts()
    # 200 expected each; 5 standard deviations of a binomial are 70.
    assert set(drawn.index) == set(neighbours)
    assert drawn.between(130, 270).all()


def chain_of(vertices: int) -> str:
    return "".join("1" if column == row + 1 else "0" for row in range(vertices) for column in range(vertices))


def refusals() -> list[tuple[str, str]]:
    cell = "010001000 input,conv3x3-bn-relu,output"
    complete = "".join("1" if column > row else "0" for row in range(5) for column in range(5))
    return [
        ("  ", "no square matrix of 0 and 1"),
        ("nonsense", "no square matrix of 0 and 1; a form of this space is"),
        (cell.replace("010001000", "01000100"), "no square matrix of 0 and 1"),
        (cell.replace("010001000", "010002000"), "no square matrix of 0 and 1"),
        (cell.replace("input,", ""), "3 vertices, but 2 operations"),
        (cell.split()[0], "3 vertices, but 1 operations"),
        (cell.replace("conv3x3", "conv5x5"), "Unknown NAS-Bench-101 operation 'conv5x5-bn-relu'. Did you mean 'conv"),
        (cell.replace("input", "output"), "the first operation must be input and the last output, not 'output' and"),
        (cell.replace("010001000", "010101000"), "an edge leads to its own or an earlier vertex"),
        (cell.replace("010001000", "010011000"), "an edge leads to its own or an earlier vertex"),
        (cell.replace("010001000", "010000000"), "no way leads from the input to the output"),
        (f"{complete} input,maxpool3x3,maxpool3x3,maxpool3x3,output", "5 vertices and 10 edges lie between"),
        (f"{chain_of(8)} input,{'maxpool3x3,' * 6}output", "8 vertices and 7 edges lie between"),
        ('{"adjacency": [[0, 1], [0, 0]]}', 'the JSON has no "operations"'),
        ('{"operations": "input,output"}', 'the JSON has no "adjacency"'),
        ('{"adjacency": "0100", "operations": "input,output", "hash": ""}', "Unknown key of a NAS-Bench-101 cell"),
        ('{"adjacency": [[0, 1], [0]], "operations": "input,output"}', "a square list of lists"),
        ('{"adjacency": [[0, 10], [0, 0]], "operations": "input,output"}', "no square matrix of 0 and 1"),
        ('{"adjacency": 1, "operations": "input,output"}', "a square list of lists"),
        ('{"adjacency": "0100", "operations": {}}', "the operations are a list"),
        ('{"adjacency": "0100", ', "broken JSON"),
        ('{"adjacency": "0100", "operations": ["in\\nput", "output"]}', r"not 'in\\nput' and 'output'"),
        # Far more than a message should repeat.
        ("1" * 10**6 + " input,output", "2 operations"),
        ("01" * 10**5, "no square matrix"),
        ("0100 " + "x" * 10**6, "2 vertices, but 1 operations"),
        (cell.replace("conv3x3", "conv3x3" * 10**5), "Unknown NAS-Bench-101 operation"),
        ("0100 " + "x" * 10**6 + ",output", "not 'xxx.* and 'output'"),
        ("0100 output," + "x" * 10**6, "not 'output' and 'xxx"),
        (f"{'0' * 350**2} input,{'maxpool3x3,' * 348}output", "no way leads"),
        (f"{'1' * 350**2} input,{'maxpool3x3,' * 348}output", "an edge leads to its own"),
        (f"{chain_of(350)} input,{'maxpool3x3,' * 348}output", "350 vertices and 349 edges lie between"),
        ('{"adjacency": "' + "1" * 10**6 + '"}', 'the JSON has no "operations"'),
        ('{"adjacency": "' + "1" * 10**6, "broken JSON"),
        ('{"adjacency": 1, "operations": "' + "x" * 10**6 + '"}', "a square list of lists"),
    ]


@pytest.mark.parametrize(("architecture", "reason"), refusals())
def test_what_is_no_cell_of_the_space_is_refused_with_the_reason(architecture: str, reason: str) -> None:
    with pytest.raises(NaswotError, match=reason) as error:
        SPACE.canonical(architecture)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 800


def test_an_index_or_a_cell_outside_the_listing_is_refused() -> None:
    space = SPACE.with_listing([str(OFFICIAL)])
    with pytest.raises(NaswotError, match="run from 0 to 0"):
        space.architecture(1)
    with pytest.raises(NaswotError, match="is not among the 1 architectures of nasbench101"):
        space.index(str(INCEPTION))
    assert space.index(str(next(iter(isomorphs(OFFICIAL) - {OFFICIAL})))) == 0


def test_a_first_network_is_built_without_loading_torchs_compiler() -> None:
    program = (
        "import sys; from naswot_ext.spaces import SPACES; "
        f"SPACES.get('nasbench101').build({str(OFFICIAL)!r}); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
