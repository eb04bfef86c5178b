"""``diffuscope impute RUN TABLE -o FILE``: fill the missing values of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from diffuscope.cli.common_options import Device, RunDir, SafeCsv, Seed, Steps, among_processes, free, say
from diffuscope.errors import InputError
from diffuscope.shares import is_first
from diffuscope.terminal import echo, one_line

_TABLE = "A table with missing values and the columns that RUN was trained on."
_FILE = "FILE.csv, .tsv (also .gz), .xlsx or .parquet."
_DRAWS = "Number of imputed tables, FILE-1, FILE-2, ...; their variation shows the uncertainty."
_AVERAGED = 16


@among_processes
def impute(
    run: RunDir,
    table: Annotated[Path, Argument(metavar="TABLE", help=_TABLE, show_default=False)],
    out: Annotated[Path, Option("--out", "-o", help=_FILE, show_default=False)],
    draws: Annotated[int, Option(help=_DRAWS)] = 1,
    average: Annotated[
        bool, Option("--average", help="Fill with the mean of the draws (16 by default).")
    ] = False,
    existing: Annotated[
        bool, Option("--existing", help="Leave missing what has no value, by the model's draw.")
    ] = False,
    only: Annotated[
        list[str] | None,
        Option(metavar="COLUMN", help="Fill this column only; may be repeated. [default: all]"),
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Annotated[bool, Option("--force", help="Overwrite existing files.")] = False,
    device: Device = "auto",
) -> None:
    """Impute missing values of a table by conditional sampling.

    They are drawn from their distribution given the other values of the row. All other cells of a text file
    are written as they were read, letter for letter.
    """
    if existing and only:
        raise InputError("--existing and --only cannot both be set.", "Set one of them.")
    if average and draws == 1:
        draws = _AVERAGED
    many = draws > 1 and not average
    from diffuscope.data.columnar import Formulas, check_writable, numbered, open_rows, write_filled

    files = [numbered(out, i + 1) for i in range(draws)] if many else [out]
    for file in files:
        free(file, force)
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    check_writable(out)
    opened = load(run, device=device).require("table")
    section = opened.model.recipe.data
    read = open_rows(table, section, section.columns)
    frame = read.modelled
    filled = opened.impute(
        frame,
        n_draws=draws,
        average=average,
        only="existing" if existing else only,
        steps=steps,
        seed=seed,
        reporter=Reporter(),
    )
    if not is_first():
        return
    for file, made in zip(files, filled, strict=True):
        formulas = Formulas(safe_csv)
        write_filled(file, read, made, section, formulas)
    if (note := formulas.note()) is not None:
        say(f"Note: {one_line(note)}")
    left = filled[0].isna()
    missing = frame.isna() & ~left
    values, rows = int(missing.to_numpy().sum()), int(missing.any(axis=1).sum())
    echo(f"{values:,} values in {rows:,} of {len(frame):,} rows filled: {', '.join(map(one_line, files))}")
    for name in left.columns[left.any()].intersection(opened.rows.identifiers):
        echo(f"{int(left[name].sum()):,} values of {name!r} left missing: identifiers are not imputed")
