"""``diffuscope sample RUN -o FILE``: points, rows of a table, or images from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

import diffuscope.cli.common_options as common
from diffuscope.errors import InputError
from diffuscope.shares import is_first
from diffuscope.terminal import echo, one_line

_TARGET = (
    "FILE.npy, .npz, .csv, .tsv (also .gz), .xlsx, .parquet or .png; for images .png (one sheet), .npy, .npz "
    "or FOLDER."
)


@common.among_processes
def sample(
    run: common.RunDir,
    out: Annotated[Path, Option("--out", "-o", help=_TARGET, show_default=False)],
    n: Annotated[int | None, Option("-n", help="Number of samples. [default: 10000, for images 64]")] = None,
    sampler: common.SamplerName = None,
    steps: common.Steps = None,
    spacing: Annotated[
        str | None, Option(help="Spacing of the steps: uniform, trailing or karras. [default: the run's]")
    ] = None,
    seed: common.Seed = 0,
    set_: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5 of ddim."),
    ] = None,
    given: Annotated[
        list[str] | None,
        Option(metavar="COLUMN=VALUE", help="For tables: condition on this value, such as sex=F."),
    ] = None,
    missing: Annotated[
        str | None,
        Option(
            metavar="none", help="For tables: sample rows without missing values. [default: as in the data]"
        ),
    ] = None,
    label: common.Label = None,
    guidance: common.Guidance = None,
    interval: common.Interval = None,
    safe_csv: common.SafeCsv = False,
    force: common.Force = False,
    device: common.Device = "auto",
) -> None:
    """Sample from a trained model into a file.

    Samples are points, rows of a table, or images.
    """
    if not out.is_dir():
        common.free(out, force)
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    opened = load(run, device=device)
    options: dict[str, Any] = {"sampler": sampler, "steps": steps, "spacing": spacing, "seed": seed}
    options |= common.read_settings(set_)
    options |= common.present(interval, y=label, guidance=guidance, missing=missing)
    if given:
        options["given"] = dict(map(_pair, given))
    options = opened.generator.read_words(options)
    n = opened.generator.count(options) if n is None else n
    if out.suffix.lower() in opened.generator.drawn_suffixes:
        from diffuscope.plots import save_figure

        with Reporter().stage("sampling"):
            figure = opened.plot_samples(n, **options)
            if is_first():
                save_figure(figure, out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), safe_csv=safe_csv, announce=_note, **options)
    unit = opened.modality.unit
    echo(f"{n:,} {unit[:-1] if n == 1 else unit} in {one_line(out)}")


def _note(text: str) -> None:
    common.say(f"Note: {one_line(text)}")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"{text!r} is not of the form COLUMN=VALUE.", "Write --given COLUMN=VALUE.")
    return name, value
