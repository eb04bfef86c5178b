"""Which faults do people plant? All of them by name, and the sound pipelines."""

from __future__ import annotations

from .case import Case
from .folders import folder_faults, run_faults
from .learning import data_faults, precisions, schedules, trainings
from .outputs import readings, scalings, time_maps
from .sound import sounds
from .stepping import loops

__all__ = ["FAULTS", "SOUND"]

_PARTS = (
    readings,
    time_maps,
    scalings,
    loops,
    trainings,
    data_faults,
    schedules,
    precisions,
    run_faults,
    folder_faults,
)
FAULTS: dict[str, Case] = {case.name: case for part in _PARTS for case in part()}
SOUND: dict[str, Case] = {case.name: case for case in sounds()}
