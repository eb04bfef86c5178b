"""The command line. It turns words into calls; whatever is heavy is imported inside a command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from diffuscope import __version__
from diffuscope.errors import DiffuscopeError, InputError, unknown_name

if TYPE_CHECKING:
    from diffuscope.run import Run

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """The commands. On Ctrl-C they say how to go on, which typer leaves out."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _say(str(stop) or "Interrupted.")
            raise typer.Exit(130) from stop


def _say(text: str) -> None:
    """Write to standard error; of several processes under torchrun, one speaks."""
    if _IS_MAIN:
        typer.echo(text, err=True)


_IS_MAIN = os.environ.get("RANK", "0") == "0"

app = typer.Typer(
    name="diffuscope",
    cls=_Commands,
    help="Train, watch and diagnose diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)]
_RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"diffuscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, watch and diagnose diffusion models."""


@app.command()
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A built-in set (diffuscope list datasets) or a .csv, .tsv, .parquet, .npy or .npz file; "
            "may be left out where the recipe names one.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Settings: a name or a TOML file. [default: fast]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. [default: runs/NAME]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything. [default: the recipe's, 0]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Length in passes over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length in steps.")] = None,
    size: Annotated[int | None, typer.Option(help="Points of a built-in set.")] = None,
    noise: Annotated[float | None, typer.Option(help="Noise of a built-in set.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Another schedule, with its defaults.")] = None,
    zero_terminal_snr: Annotated[
        bool | None, typer.Option("--zero-terminal-snr", help="Rescale a discrete schedule to end in noise.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Another sampler for pictures and quality.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="Steps of the sampler.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change any setting of the recipe, such as schedule.end=0.2."
        ),
    ] = None,
    device: _Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw figures and GIFs.")] = True,
    debug: _Debug = False,
) -> None:
    """Train a model and keep it, its pictures and its quality in a run directory."""
    import time

    begun = time.perf_counter()
    changes = _settings(set_ or [])
    for key, value in (
        ("data.size", size),
        ("data.noise", noise),
        ("schedule.name", schedule),
        ("schedule.zero_terminal_snr", zero_terminal_snr),
        ("sampling.name", sampler),
        ("sampling.steps", sampling_steps),
    ):
        if value is not None:
            changes = {key: value, **changes}
    from diffuscope.experiment import train as run_training

    run = run_training(
        data,
        recipe=recipe,
        out=out,
        seed=seed,
        epochs=epochs,
        steps=steps,
        changes=changes,
        device=device,
        resume=resume,
        pictures=pictures,
    )
    if _IS_MAIN:
        _tell(run, time.perf_counter() - begun)


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; values are TOML, bare words are text."""
    import tomllib

    changes: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise InputError(f"{pair!r} is not a setting.", "Write --set SECTION.KEY=VALUE.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        changes[key.strip()] = value
    return changes


def _tell(run: Run, seconds: float) -> None:
    """Say where everything is, how long it took, and how good it is."""
    summary = run.summary
    quality = summary["quality"]["sliced_wasserstein"]
    lines = [
        ("run", f"{run.path}/"),
        ("model", f"{run.path / 'model.safetensors'}"),
        ("pictures", f"{run.path / 'figures'}/"),
        ("animations", ", ".join(str(path) for path in sorted(run.path.glob("*.gif")))),
        ("training", f"{summary['train_seconds']:.1f} s, {summary['steps']:,} steps; in all {seconds:.1f} s"),
        (
            "quality",
            f"sliced Wasserstein distance {quality['value']:.4g} = {quality['ratio']:.2f} × floor "
            f"(95%: {quality['low']:.2f} to {quality['high']:.2f})",
        ),
        ("next", f"diffuscope sample {run.path} -n 1000 -o samples.csv"),
    ]
    for name, text in lines:
        if text:
            typer.echo(f"{name:<11} {text}")


@app.command()
def sample(
    run: _RunDir,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="FILE.npy, .npz, .csv, .tsv, .parquet or .png.", show_default=False),
    ],
    n: Annotated[int, typer.Option("-n", help="How many points.")] = 10_000,
    sampler: Annotated[
        str | None, typer.Option(help="diffuscope list samplers. [default: the run's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the walk. [default: the run's]")] = None,
    spacing: Annotated[
        str | None, typer.Option(help="uniform, trailing or karras. [default: the run's]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    device: _Device = "auto",
    debug: _Debug = False,
) -> None:
    """Draw points from a trained model into a file, or as a picture beside the data."""
    _free(out, force)
    picture = out.suffix.lower() in (".png", ".svg", ".pdf")
    if not picture:
        from diffuscope.datasets import check_writable

        check_writable(out)
    from diffuscope.progress import Reporter
    from diffuscope.run import load

    opened = load(run, device=device)
    wanted = {"sampler": sampler, "steps": steps, "spacing": spacing, "seed": seed, **_settings(set_ or [])}
    if picture:
        from diffuscope.plots import save_figure

        save_figure(opened.plot_samples(n, **wanted), out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), **wanted)
    typer.echo(f"{n:,} points in {out}")


def _free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise InputError(
            f"{path} exists already; it was not touched.", "Choose another name, or give --force."
        )


@app.command()
def animate(
    run: _RunDir,
    forward: Annotated[bool, typer.Option("--forward", help="The walk from data to noise.")] = False,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="The walk from noise to data. [default]")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="FILE.gif, .mp4 or .html. [default: RUN/WALK.gif]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    device: _Device = "auto",
    debug: _Debug = False,
) -> None:
    """Make a moving picture of the forward walk, the reverse walk, or one after the other."""
    name = "both" if forward and reverse else "forward" if forward else "reverse"
    path = out or run / f"{name}.gif"
    if out is not None:
        _free(path, force)
    from diffuscope.animate import check_animation
    from diffuscope.progress import Reporter
    from diffuscope.run import load

    check_animation(path)
    opened = load(run, device=device)
    with Reporter().stage("drawing"):
        opened.animate(path, forward=forward, reverse=reverse or not forward, seed=seed)
    typer.echo(f"{path}")


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="datasets|recipes|schedules|samplers|networks", show_default=False)
    ],
    debug: _Debug = False,
) -> None:
    """List what there is to choose from."""
    tables = {
        "datasets": _datasets,
        "recipes": _recipes,
        "schedules": _schedules,
        "samplers": _samplers,
        "networks": _networks,
    }
    if what not in tables:
        raise unknown_name("list", what, tables)
    rows = tables[what]()
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        typer.echo(f"{name:<{width}}  {text}")


def _datasets() -> dict[str, str]:
    from diffuscope.datasets import POINT_SETS

    return {name: f"{points.description} (noise {points.noise:g})" for name, points in POINT_SETS.items()}


def _recipes() -> dict[str, str]:
    from diffuscope.recipes import RECIPES, load_recipe

    return {name: load_recipe(name).description for name in RECIPES}


def _schedules() -> dict[str, str]:
    from diffuscope.schedules import SCHEDULES

    return {name: _settings_of(factory) for name, factory in SCHEDULES.items()}


def _samplers() -> dict[str, str]:
    from diffuscope.samplers import SAMPLERS

    return {name: _settings_of(factory) for name, factory in SAMPLERS.items()}


def _networks() -> dict[str, str]:
    from diffuscope.networks import NETWORKS

    return {name: _settings_of(factory) for name, factory in NETWORKS.items()}


def _settings_of(factory: Any) -> str:
    """Say a part's settings and their defaults."""
    import inspect

    free = {k: p.default for k, p in inspect.signature(factory).parameters.items()}
    free = {k: v for k, v in free.items() if v is not inspect.Parameter.empty}
    return ", ".join(f"{key} = {value}" for key, value in free.items()) or "no settings"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    # Threads that wait for one another should sleep, not spin: on a busy machine spinning takes many
    # times as long. The policy is read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        app(args=words, prog_name="diffuscope")
    except DiffuscopeError as error:
        if debug:
            raise
        _say(f"Error: {error.what}" + (f"\n{error.hint}" if error.hint else ""))
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        _say(
            f"Error: {type(error).__name__}: {error}\nThis was not foreseen; --debug shows where it happened."
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
