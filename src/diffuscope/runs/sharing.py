"""How do processes share what they sample and measure? In a block that all of them enter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from diffuscope.model import pick_device
from diffuscope.shares import among
from diffuscope.training import World, join_world

__all__ = ["sharing"]

_BEGIN, _END = "the beginning of a block that shares", "the end of a block that shares"
_HINT = "Start all processes again."


@contextlib.contextmanager
def sharing(device: str = "auto") -> Iterator[World]:
    """Share what is sampled and measured in a block among the processes of ``torchrun``.

    All processes call the same in the block, in the same order and with the same arguments: ``run.sample``,
    ``run.sample_to``, ``run.table.impute``, ``run.log_density``, ``diffuscope.evaluate``,
    ``diffuscope.diagnose``. Each makes some of the pieces, and all get the result of one process, byte for
    byte. ``sample_to`` writes one file, by the first process. In a single process the block changes nothing,
    and no group is started; outside of it each process works for itself.

    Parameters
    ----------
    device : str
        Where runs are: auto, cpu, cuda or mps.

    Yields
    ------
    World
        ``rank`` of this process, ``size``, and ``is_main``, whether it is the first.

    Raises
    ------
    LostError
        When another process ends, or does not come for 300 seconds, or ``DIFFUSCOPE_TIMEOUT``.
    RunError
        When another process came to something else.

    Examples
    --------
    >>> import diffuscope
    >>> run = diffuscope.load("runs/moons")
    >>> with diffuscope.sharing() as processes:  # under torchrun in all of them
    ...     x = run.sample(1000)
    >>> processes.is_main, x.shape
    (True, (1000, 2))
    """
    world = join_world(pick_device(device), any_group=True)
    if world.size == 1:
        yield world
        return
    try:
        assert world.peers is not None
        with world.peers.hinting(_HINT):
            world.come(_BEGIN)
            with among(world):
                yield world
            world.come(_END)
            world.wait()
    except BaseException as error:
        world.leave(error)
        raise
