"""The command line: `naswot score`, `naswot describe`, `naswot plan`, `naswot proxies` and `naswot info`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from naswot_ext.errors import NaswotError

if TYPE_CHECKING:
    from naswot_ext.activation import Ranked, Score

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="NAS without training."
)


@app.command()
def score(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK...",
            help="torchvision:resnet18, my_file.py:make_model, package.module:make_model or nasbench201:6224; "
            "several are ranked, best first.",
        ),
    ],
    batch: Annotated[
        str | None, typer.Option(help="An .npz file with images (default: standard-normal images).")
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="Channel means and deviations of uint8 images: cifar10, cifar100, ...")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="How many images.")] = 128,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the standard-normal images (224 for torchvision, else 32).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and, with its name, of each network.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a network instead of a table.")] = False,
) -> None:
    """Score untrained networks on one batch: log|det K|, higher is better (Mellor et al., ICML 2021)."""
    import torch

    from naswot_ext import rank
    from naswot_ext.datasets import make_batch
    from naswot_ext.models import builder

    if batch is None and normalise is not None:
        raise NaswotError("--normalise is for the images of --batch; standard-normal images need none.")
    if batch is not None and image_size is not None:
        raise NaswotError("--image-size is for standard-normal images; those of --batch have their own size.")
    builders = {spec: builder(spec) for spec in networks}
    size = image_size or (224 if any(spec.startswith("torchvision:") for spec in networks) else 32)
    source = (
        {"source": "gaussian", "image_size": size}
        if batch is None
        else {"source": "npz", "path": batch, "normalise": normalise}
    )
    images = torch.from_numpy(make_batch(source, batch_size, seed).images)
    if device == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
    start = time.perf_counter()
    ranking = rank(builders, images, seed=seed, device=device)
    seconds = time.perf_counter() - start
    if as_json:
        for name, value, error in ranking:
            print(json.dumps({"network": name, **_facts(value), "error": error}))
    else:
        _print_ranking(ranking)
        print(f"{len(ranking)} network(s), {batch_size} images {list(images.shape[1:])}, {seconds:.1f} s on {device}")
    if any(error is not None for _, _, error in ranking):
        raise typer.Exit(1)


def _facts(value: Score | None) -> dict[str, object]:
    if value is None:
        return {}
    # JSON has no -inf: a singular network has no number, and says so.
    number = None if value.singular else float(value)
    return {"score": number, "singular": value.singular, "units": value.units, "seen": value.activations}


def _print_ranking(ranking: list[Ranked]) -> None:
    width = max(len("network"), *(len(entry.name) for entry in ranking))
    print(f"{'network':{width}}  {'score':>10}  {'units':>12}  activations")
    for name, value, error in ranking:
        if value is None:
            print(f"{name:{width}}  {'failed':>10}  {'':>12}  {error}")
        else:
            seen = ", ".join(f"{kind} x{count}" for kind, count in value.activations.items())
            shown = "singular" if value.singular else f"{value:.3f}"
            print(f"{name:{width}}  {shown:>10}  {value.units:>12,}  {seen}")


@app.command()
def describe(
    space: Annotated[str, typer.Argument(help="nasbench101, nasbench201, nats-sss, nds-darts, ...")],
    architecture: Annotated[
        str,
        typer.Argument(
            help="Its index, its string form, or for nasbench101 and nds-* the JSON of a cell or of an entry's `net`."
        ),
    ],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the images (default: the benchmark's own).")
    ] = None,
    inits: Annotated[int, typer.Option(min=1, help="How many initialisations are scored.")] = 3,
    classes: Annotated[int, typer.Option(min=1, help="Outputs of the classifier.")] = 1,
    batch_size: Annotated[int, typer.Option(min=2, help="Standard-normal images an initialisation.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initialisations and images.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    network: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the network, such as stem_channels=128.")
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option(
            help="The file that numbers the architectures of nasbench101 or nds-*, made by the workflow "
            "(default: results/architectures/SPACE.parquet).",
        ),
    ] = None,
) -> None:
    """Describe one architecture as a JSON object: parameters, FLOPs, rectified units, and its score over some inits."""
    from pathlib import Path

    from naswot_ext.describe import describe, read_listing
    from naswot_ext.spaces import ListedSpace, open_space

    opened = open_space(space, dict(_option(text) for text in network or []))
    if isinstance(opened, ListedSpace):
        default = Path("results/architectures", f"{space}.parquet")
        if listing or default.is_file():
            opened = opened.with_listing(read_listing(listing or default, space))
    elif listing:
        raise NaswotError(f"{space} numbers its own architectures: leave out --listing.")
    facts = describe(
        opened,
        architecture,
        image_size=image_size,
        inits=inits,
        num_classes=classes,
        batch_size=batch_size,
        seed=seed,
        device=device,
    )
    print(json.dumps(facts))


def _option(text: str) -> tuple[str, object]:
    """KEY=VALUE, whose value may be a number."""
    key, equals, value = text.partition("=")
    if not equals:
        raise NaswotError(f"--network {text} has no value. Write it as KEY=VALUE, such as stem_channels=128.")
    return key, int(value) if value.isdecimal() else value


@app.command()
def plan(
    configs: Annotated[list[str], typer.Argument(metavar="CONFIG...", help="The config files, merged in this order.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the config: scale=small, scoring.shard_size=100."),
    ] = None,
    timings: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="The results folder of an earlier run to estimate from, besides its own."),
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores to run on, for the least wall time.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="A file or target rule, such as icml2021_table2a (default: everything).")
    ] = None,
) -> None:
    """Print what Snakemake would run for a config, and about how long, from the timings of earlier runs."""
    from naswot_ext.plan import make_plan

    made = make_plan(configs, settings=settings or [], timings=timings or [], cores=cores, targets=target or [])
    print(*made.report(cores), sep="\n")


@app.command()
def proxies(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a proxy instead of a table.")] = False,
) -> None:
    """List the proxies: what they measure, whether higher is better, what they look at, and what they cost."""
    from naswot_ext.proxies import PROXIES

    found = [PROXIES.get(name) for name in PROXIES.names()]
    facts = [
        {
            "proxy": proxy.name,
            "measures": proxy.title,
            "better": "higher" if proxy.higher_is_better else "lower",
            "looks at": proxy.batch,
            "labels": "needed" if proxy.needs_labels else "no",
            "cost": proxy.cost,
        }
        for proxy in found
    ]
    if as_json:
        print(*map(json.dumps, facts), sep="\n")
        return
    rows = [{key: key for key in facts[0]}, *facts]
    widths = {key: max(len(row[key]) for row in rows) for key in facts[0]}
    for row in rows:
        print("  ".join(f"{row[key]:{widths[key]}}" for key in row).rstrip())


@app.command()
def verify(
    archive: Annotated[str, typer.Argument(help="The .tar.zst file that `snakemake archive` wrote.")],
    sample: Annotated[
        int, typer.Option(min=0, help="Architectures of each space and data set that are scored again.")
    ] = 4,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that make results again.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Which architectures are scored again (default: others each time).")
    ] = None,
) -> None:
    """Check an archive: digests, tables and figures' data made again, a sample of scores made again; a line a check."""
    from naswot_ext.archive.verify import verify

    holds = True
    for check in verify(archive, sample, jobs, seed):
        print(check, flush=True)
        holds &= check.holds is not False
    if not holds:
        sys.exit(1)


@app.command()
def info() -> None:
    """Versions, instruction levels, CUDA, and the fingerprint of the compiled sources, as JSON."""
    from naswot_ext import build_info

    print(json.dumps(build_info(), indent=2))


def main() -> None:
    """Run the command line; a NaswotError is one line and exit status 1."""
    try:
        app()
    except NaswotError as error:
        print(f"naswot: {error}", file=sys.stderr)
        sys.exit(1)
