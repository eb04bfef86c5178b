"""How is a training of Lightning watched? By a callback, made only where Lightning is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from diffuscope.errors import InputError

__all__ = ["lightning_callback"]

_HOMES = ("lightning.pytorch", "pytorch_lightning")


def lightning_callback(
    monitor: Callable[[Any, int, Any], Any], network: str | Callable[[Any], Any] | None = None
) -> Any:
    """Return a callback that hands network, step and loss to a monitor; see ``Monitor``.

    The callback is one of both packages where both are installed. Lightning divides the loss by the batches
    whose gradients it adds; the callback undoes that. Only the first process of several looks.
    """
    bases = _callbacks()
    if not bases:
        raise InputError(
            "Lightning is not installed.", "Install it: pip install lightning, or call the monitor yourself."
        )

    def asked(module: Any) -> Any:
        if network is None:
            return module
        if callable(network):
            return network(module)
        if not hasattr(module, network):
            raise InputError(
                f"{type(module).__name__} has no attribute {network!r}.",
                "Name the attribute that is the network (x, t), or give a function of the module.",
            )
        return getattr(module, network)

    def on_train_batch_end(
        self: Any, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *unused: Any
    ) -> None:
        """Hand the loss of a batch on; a batch without one was skipped."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None and getattr(trainer, "is_global_zero", True):
            monitor(asked(pl_module), int(trainer.global_step), loss * trainer.accumulate_grad_batches)

    made = type(
        "MonitorCallback", tuple(bases), {"on_train_batch_end": on_train_batch_end, "monitor": monitor}
    )
    return made()


def _callbacks() -> list[type]:
    """Return the classes of callbacks of the packages that are installed."""
    found: list[type] = []
    for home in _HOMES:
        try:
            base = importlib.import_module(home).Callback
        except ImportError:
            continue
        if base not in found:
            found.append(base)
    return found
