"""``diffuscope pack SOURCE -o DIR``: write data of any size into files that are read where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from diffuscope.cli.common_options import read_interval, reads_files
from diffuscope.terminal import echo, one_line
from diffuscope.translations import translate

_SOURCE = (
    "A .csv, .tsv (also .gz), .parquet, .arrow, .npy or .npz file, or images: a folder, or a .tar (also "
    "compressed)."
)
_RANGE = "The values of images of more than 8 bits that are black and white."
_SPLIT = "Of images in folders: the subfolder to pack. [default: train, where there are such parts]"
_SIZE = "Height and width of images. [default: what suits them]"


@reads_files
def pack(
    source: Annotated[Path, Argument(metavar="SOURCE", help=_SOURCE, show_default=False)],
    out: Annotated[Path, Option("--out", "-o", help="The folder to write.", show_default=False)],
    image_size: Annotated[int | None, Option(help=_SIZE)] = None,
    channels: Annotated[
        int | None, Option(help="Channels of images. [default: 1 if all are grey, else 3]")
    ] = None,
    range_: Annotated[str | None, Option("--range", metavar="LOW,HIGH", help=_RANGE)] = None,
    split: Annotated[str | None, Option(metavar="FOLDER", help=_SPLIT)] = None,
    read: Any = None,
) -> None:
    """Pack data that is larger than memory, or is read often.

    Whatever takes data takes the folder. A table becomes an Arrow file, points and images arrays that are
    mapped into memory; only what a batch needs of them is read.
    """
    from diffuscope.data.columnar import FileOptions
    from diffuscope.packing import pack as run

    options = FileOptions(**{key.removeprefix("data."): value for key, value in read.items()})
    limits = None if range_ is None else read_interval(range_, "--range")
    run(
        source,
        out,
        image_size=image_size,
        channels=channels,
        value_range=limits,
        split=split,
        options=options,
        announce=_said,
    )


def _said(lines: Any) -> None:
    for line in lines:
        echo(one_line(translate(line)))
