"""Which folders of images are classes, and which are parts of a set, such as ``train`` and ``val``?

``cat/1.png`` has the class "cat". In ``train/cat/1.png`` the folder above is a part where all folders there
have names of parts: images of one part are learned, with the folders below as classes, those of another are
held out.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.errors import InputError, unknown_name

__all__ = ["Parts", "class_of", "natural", "parts_of"]

_TRAIN = ("train", "training")
_HELD = ("val", "valid", "validation", "dev", "test", "testing", "eval")


class Parts(NamedTuple):
    """The files that are learned, those that are held out, the names of classes, and notes."""

    chosen: list[Path]
    held: list[Path]
    names: list[str]
    notes: list[str]


def natural(name: str) -> tuple[list[Any], str]:
    """Return a sort key by which 10 comes after 9, and 01 before 1."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def parts_of(path: Path, files: list[Path], split: str | None = None, *, by_folder: bool = True) -> Parts:
    """Return which of the image files of a folder are learned, and, ``by_folder``, their classes.

    ``split`` names the subfolder to learn from; InputError where there is none such.
    """
    tops = Counter(_folders(path, file)[0] if _folders(path, file) else "" for file in files)
    folders = sorted(filter(None, tops), key=natural)
    known = [name for name in folders if name.casefold() in (*_TRAIN, *_HELD)]
    in_parts = bool(folders) and known == folders and not tops[""]
    trained = [name for name in known if name.casefold() in _TRAIN]
    if split is None and not (in_parts and trained and len(folders) > 1):
        return _whole(path, files, 0, by_folder)
    if split is not None:
        if split not in folders:
            raise unknown_name(f"subfolder of {path}", split, folders)
        learned = split
    else:
        learned = trained[0]
    others = [name for name in folders if name != learned]
    order = {name: i for i, name in enumerate(_HELD)}
    usable = [one for one in others if one.casefold() in order]
    held = min(usable, key=lambda one: order[one.casefold()], default=None)
    of = {name: [file for file in files if _folders(path, file)[:1] == (name,)] for name in folders}
    if len(of[learned]) < 2:
        raise InputError(
            f"There are too few images in {path / learned}: {len(of[learned])}.",
            "Give at least two, or another --split.",
        )
    notes = [f"{len(of[learned]):,} images of {learned!r} are learned"]
    if held is not None and len(of[held]) > 1:
        notes[0] += f", {len(of[held]):,} of {held!r} are held out to measure with"
    else:
        held = None
    rest = [f"{len(of[name]):,} of {name!r}" for name in others if name != held]
    rest += [f"{tops['']:,} in no subfolder"] if tops[""] else []
    if rest:
        notes[0] += f"; not used: {', '.join(rest)}"
    notes[0] += " (--split NAME changes that)."
    own, unseen = _whole(path, of[learned], 1, by_folder), [] if held is None else of[held]
    if own.names:
        foreign = [file for file in unseen if class_of(path, file, own.names) not in own.names]
        if foreign:
            notes.append(f"Images of {held!r} of other classes, and not used: {len(foreign):,}.")
            unseen = [file for file in unseen if file not in set(foreign)]
    return Parts(own.chosen, unseen, own.names, [*notes, *own.notes])


def class_of(path: Path, file: Path, names: list[str]) -> str:
    """Return the class of a file: the first folder on its way that is one of the names."""
    return next((one for one in _folders(path, file) if one in names), "")


def _folders(path: Path, file: Path) -> tuple[str, ...]:
    return file.relative_to(path).parts[:-1]


def _whole(path: Path, files: list[Path], depth: int, by_folder: bool) -> Parts:
    """Take all files, ``by_folder`` with the folders at a depth as classes, if all files are in one."""
    if not by_folder:
        return Parts(files, [], [], [])
    folders = [_folders(path, file)[depth:] for file in files]
    loose = sum(not one for one in folders)
    if loose:
        note = f"Images in no subfolder of {path}: {loose:,}. So its subfolders are not used as classes."
        return Parts(files, [], [], [note] if loose < len(files) else [])
    classes = sorted({one[0] for one in folders}, key=natural)
    notes = []
    deeper = sorted({"/".join(one[:2]) for one in folders if len(one) > 1}, key=natural)
    if deeper and len(classes) > 1:
        some = ", ".join(deeper[:3]) + f" and {len(deeper) - 3:,} more" * (len(deeper) > 3)
        notes.append(f"Folders within those of classes are not used as classes: {some}.")
    return Parts(files, [], classes if len(classes) > 1 else [], notes)
