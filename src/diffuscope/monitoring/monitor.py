r"""Is a training done, or what is left to gain? Asked every so often, from any loop of PyTorch.

Looks are rare where training is short, and their cost is bounded: one is taken when its time, as measured,
fits into the share of the training's own time that it may take, and training has gone on for a fifth longer
since the last. A look asks the network as it stands about rows that were noised once for all
(:mod:`~diffuscope.monitoring.looks`), compares the answers with the best possible ones, and warns of what
goes wrong (:mod:`~diffuscope.monitoring.alarms`).
"""

from __future__ import annotations

import json
import math
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from diffuscope.diffusion.schedules import Schedule
from diffuscope.errors import InputError
from diffuscope.files import append_text, write_text
from diffuscope.monitoring import alarms
from diffuscope.monitoring.asked import Asked, averaged_of, undisturbed
from diffuscope.monitoring.law import law_of, schedule_of
from diffuscope.monitoring.looks import Looker, Measured
from diffuscope.monitoring.loss_floor import LossFloor, floor_of, spread_of
from diffuscope.monitoring.report import Watched, html_report, line_of, text_report
from diffuscope.monitoring.reported import Alarm, ReportedLosses
from diffuscope.monitoring.visited import Weights
from diffuscope.terminal import echo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Monitor"]

_LONGER = 1.2
_CHECKED = 256  # calls between looks at the reported losses
_PENDING = 50  # losses on an accelerator, before they are fetched
_PATIENCE = 3  # losses in a row that are not finite
_PLANNED = 0.9  # of what may be spent: a look can take longer than the last one did


class Monitor:
    r"""Watches a training: how far its loss is above the least possible one, and what goes wrong.

    Call it in the loop, after each step or now and then: ``monitor(network, step, loss)``.

    Parameters
    ----------
    betas : array_like of shape (T,) or Schedule
        :math:`\beta_1 \dots \beta_T`, or a schedule of :mod:`diffuscope.diffusion.schedules`.
    data : str, array_like, tensor, DataFrame, Dataset, callable or Oracle
        The training data, shape (n, ...), as :func:`diffuscope.loss_floor` takes it: the name of a built-in
        set, or an oracle, gives an exact floor. Give rows of the training itself as an array or a Dataset:
        memorising can be seen only where they are known.
    prediction : {"noise", "data", "velocity", "flow"}
        What the network predicts.
    scaling : (shift, scale), optional
        The network sees (data - shift) / scale; by default the data as it is.
    held_out : array_like of shape (m, ...), optional
        Rows that are not trained on. Where the law is not known, the loss is measured on them; without them
        on training rows, which a network may learn by heart.
    average : nn.Module or callable, optional
        The network with averaged weights, or a function without arguments that returns it.
    weighting, times : optional
        Of the reported loss, as :func:`diffuscope.loss_floor` takes them.
    every : int, optional
        Steps between looks, at least. By default each look comes after a fifth more of training than the
        last.
    cost : float
        The share of the training's time that looks may take in all; infinity: no limit. What is prepared when
        the monitor is made, some seconds, is not in it.
    directory : str or path, optional
        Where to write ``monitor.jsonl``, a line for each look, as they come. :meth:`save` adds the report.
    writer : optional
        A ``SummaryWriter`` of TensorBoard, or anything with ``add_scalar(tag, value, step)``.
    show : bool
        Print a line for each look, and each warning when it first comes up.
    seed : int
        Of all that is drawn.

    Attributes
    ----------
    floor : LossFloor
        The least possible loss.
    history : list of dict
        A record for each look, of plain data: see the notes.
    warnings : list of dict
        What was warned of: ``step``, ``code``, ``title``, ``evidence``, ``fix``.
    spent, share : float
        Seconds that the monitor took since the first call, and their share of the time that passed.

    Raises
    ------
    InputError
        When data, betas or a setting is not valid; when the network does not return the shape of its input;
        and when the loss is no number, or has not been finite three times in a row.

    Notes
    -----
    A record has ``step``, ``seconds``, ``reported`` (the mean of the losses since the last look), ``loss``,
    ``floor`` and ``excess`` with their intervals, ``bands`` of noise levels with the same and whether
    nothing is left to gain there, ``averaged`` and ``trained`` (the same for averaged weights and for
    training rows), ``samples`` (distance over its floor), ``norm`` of the weights, ``warnings`` and
    ``share`` of the time.

    Modes of all modules, and torch's random state, are as they were after a call.

    Examples
    --------
    >>> import diffuscope, torch
    >>> data, network = diffuscope.load_dataset("moons"), torch.nn.Linear(2, 2)
    >>> monitor = diffuscope.Monitor(torch.linspace(1e-4, 0.02, 100), data, cost=float("inf"), show=False)
    >>> for step in range(20):  # of a training loop of one's own
    ...     record = monitor(lambda x, t: network(x), step, 0.9)
    >>> monitor.history[-1]["reported"] > monitor.floor.as_reported.value
    True
    """

    def __init__(
        self,
        betas: Schedule | ArrayLike | Tensor,
        data: Any,
        *,
        prediction: str = "noise",
        scaling: tuple[ArrayLike, ArrayLike] | None = None,
        held_out: Any = None,
        average: nn.Module | Callable[..., Any] | None = None,
        weighting: Weights = None,
        times: Any = None,
        every: int | None = None,
        cost: float = 0.02,
        directory: str | Path | None = None,
        writer: Any = None,
        show: bool = True,
        seed: int = 0,
    ) -> None:
        schedule = schedule_of(betas)
        law = law_of(data, scaling, held_out, seed)
        if prediction == "noise" and not float(schedule(torch.tensor(schedule.t_max)).alpha) > 0:
            raise InputError(
                "Noise prediction is undefined without signal, and the last level has no signal.",
                "Predict velocity, data or flow instead.",
            )
        floor, visited = floor_of(law, schedule, prediction, weighting, times, seed)
        self.floor: LossFloor = floor
        self.every = None if every is None else _whole(every, "every", 1)
        self.cost = _share(cost)
        if average is not None and not callable(average):
            averaged_of(average)
        if writer is not None and not callable(getattr(writer, "add_scalar", None)):
            raise InputError(
                f"A {type(writer).__name__} cannot write scalars.",
                "Give a SummaryWriter of torch.utils.tensorboard, or an object with add_scalar.",
            )
        self.average, self.writer, self.show = average, writer, show
        self.directory = None if directory is None else Path(directory)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        self._looker = Looker(law, schedule, floor, visited, seed, spread_of(law, seed))
        self._law = law
        self.history: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = []
        self.spent = 0.0
        self._reported = ReportedLosses()
        self._pending: list[tuple[int, Tensor]] = []
        self._measured: list[Measured] = []
        self._norms: list[float] = []
        self._begun: float | None = None
        self._per_answer = 0.0  # seconds that the network takes for a point
        self._last_look, self._last_step = 0.0, -1
        self._unfinished = 0
        self._calls = 0

    # --- in the loop

    def __call__(
        self, network: nn.Module | Callable[..., Any], step: int, loss: Any
    ) -> dict[str, Any] | None:
        """Keep the loss of a step, and look at the network if it is time; return the record of the look.

        ``network`` maps ``(x, t)``, of shapes (n, ...) and (n,), to the prediction; ``loss`` is a number or a
        tensor of one.
        """
        entered = time.perf_counter()
        step = _whole(step, "step", 0)
        first = self._begun is None
        if self._begun is None:
            self._begun = entered
        self._keep(network, step, loss)
        self._calls += 1
        if self._calls % _CHECKED == 0:
            self._warn(step, self._reported.alarms(self._looker.naive))
        record = None
        if first:
            self._try(network, loss)
        elif self._is_time(step, entered):
            record = self._look(network, step, entered, loss)
        now = time.perf_counter()
        self.spent += now - entered
        return record

    def look(self, network: nn.Module | Callable[..., Any], step: int) -> dict[str, Any]:
        """Look at the network now, whatever it costs, samples included; return the record."""
        entered = time.perf_counter()
        step = _whole(step, "step", 0)
        self._begun = entered if self._begun is None else self._begun
        record = self._look(network, step, entered, None, samples=True)
        self.spent += time.perf_counter() - entered
        return record

    @property
    def share(self) -> float:
        """The share of the time since the first call that the monitor took."""
        passed = 0.0 if self._begun is None else time.perf_counter() - self._begun
        return self.spent / passed if passed > 0 else 0.0

    def _keep(self, network: Any, step: int, loss: Any) -> None:
        """Keep a reported loss; one on an accelerator is fetched with others, as each fetching waits."""
        if isinstance(loss, Tensor) and loss.numel() == 1 and loss.device.type != "cpu":
            self._pending.append((step, loss.detach().reshape(())))
            if len(self._pending) >= _PENDING:
                self._fetch(network)
            return
        self._add(network, step, _number(loss))

    def _fetch(self, network: Any) -> None:
        if self._pending:
            values = torch.stack([value.float() for _, value in self._pending]).tolist()
            steps = [step for step, _ in self._pending]
            self._pending = []
            for step, value in zip(steps, values, strict=True):
                self._add(network, step, value)

    def _add(self, network: Any, step: int, loss: float) -> None:
        if math.isfinite(loss):
            self._unfinished = 0
            self._reported.add(step, loss)
            return
        self._unfinished += 1
        weights = list(network.parameters()) if isinstance(network, nn.Module) else []
        broken = any(not bool(p.isfinite().all()) for p in weights)
        where = "and weights of the network too" if broken else "though the weights are finite"
        alarm = Alarm(
            "not_finite",
            "The loss is not finite",
            f"At step {step} it is {loss}, {where}.",
            "Go back to the last good weights, lower the learning rate, and clip gradients (norm 1).",
        )
        self._warn(step, [alarm])
        if broken or self._unfinished >= _PATIENCE or not self._reported.count:
            raise InputError(f"The loss of step {step} is {loss}, {where}.", alarm.fix)

    def _is_time(self, step: int, now: float) -> bool:
        if self.every is not None and step < self._last_step + self.every:
            return False
        assert self._begun is not None
        passed = now - self._begun
        if self.every is None and passed < _LONGER * self._last_look:
            return False
        return self.spent + self._expected() <= _PLANNED * self.cost * passed

    def _expected(self) -> float:
        """Return the seconds that a look without samples should take."""
        sets = 1 + (self._looker.trained is not None) + (self.average is not None)
        return sets * self._looker.count * self._per_answer * _LONGER

    def _try(self, network: Any, near: Any) -> None:
        """Ask the network once about a batch, to see that it fits, and once more to see how long it takes."""
        asked, rows, batch = self._asked(network, near), self._looker.unseen, self._looker.batch
        with undisturbed([network], asked.device):
            asked(rows.x_t[:batch], rows.times[:batch])
            begun = time.perf_counter()
            asked(rows.x_t[-batch:], rows.times[-batch:])
            self._per_answer = (time.perf_counter() - begun) / batch

    def _asked(self, network: Any, near: Any) -> Asked:
        if not callable(network):
            raise InputError(
                f"A {type(network).__name__} is not a network.", "Give a network (x, t) -> the shape of x."
            )
        return Asked(network, self._law.shape, self._looker.batch, near)

    # --- a look

    def _look(
        self, network: Any, step: int, entered: float, near: Any, samples: bool = False
    ) -> dict[str, Any]:
        self._fetch(network)
        looker = self._looker
        average = averaged_of(self.average)
        asked = self._asked(network, near)
        if asked.device.type == "cuda":  # what the training still has to do is not the monitor's
            torch.cuda.synchronize(asked.device)
        begun = time.perf_counter()
        found: list[Alarm] = []
        drawn = None
        with undisturbed([network, average], asked.device):
            raw = looker.measure(asked, looker.unseen)
            smooth = None if average is None else self._asked(average, near)
            averaged = None if smooth is None else looker.measure(smooth, looker.unseen)
            trained = None if looker.trained is None else looker.measure(asked, looker.trained)
            asks = looker.count * (1 + (averaged is not None) + (trained is not None))
            self._per_answer = (time.perf_counter() - begun) / asks
            if looker.sampling_answers and (samples or self._affords_samples(begun, entered)):
                drawn = looker.sample(smooth or asked)
                if drawn is None:
                    found.append(_overflow())
        self._measured.append(raw)
        del self._measured[:-4]
        self._norms.append(_norm(network))
        reported = self._reported.last(self._last_step)
        found += self._alarms(raw, averaged, trained, reported)
        if drawn is not None:
            found += [alarm for alarm in [alarms.copies(drawn)] if alarm is not None]
        self._last_step = step
        assert self._begun is not None
        now = time.perf_counter()
        self._last_look = now - self._begun
        share = (self.spent + now - entered) / max(now - self._begun, 1e-9)
        record: dict[str, Any] = {
            "step": step,
            "seconds": now - self._begun,
            "reported": None if not len(reported) else float(reported.mean()),
            **self._plain(raw),
            "floor": self.floor.as_reported._asdict(),
            "bands": [band.to_json() for band in raw.bands],
            "averaged": None if averaged is None else self._plain(averaged),
            "trained": None if trained is None else self._plain(trained),
            "samples": None if drawn is None else drawn.to_json(),
            "norm": self._norms[-1],
            "left": _left(averaged or raw),
            "warnings": [alarm.to_json() for alarm in found],
            "share": share,
        }
        self.history.append(record)
        self._tell(record)
        self._warn(step, found)
        return record

    @staticmethod
    def _plain(measured: Measured) -> dict[str, Any]:
        return {"loss": measured.loss._asdict(), "excess": measured.excess._asdict()}

    def _affords_samples(self, begun: float, entered: float) -> bool:
        """Whether samples fit into what may still be spent."""
        assert self._begun is not None
        now = time.perf_counter()
        spent = self.spent + now - entered
        wanted = self._looker.sampling_answers * self._per_answer * _LONGER
        return spent + wanted <= _PLANNED * self.cost * (now - self._begun)

    def _alarms(
        self, raw: Measured, averaged: Measured | None, trained: Measured | None, reported: Any
    ) -> list[Alarm]:
        looker = self._looker
        found = [
            *self._reported.alarms(looker.naive),
            alarms.weights_growing(self._norms),
            alarms.reported_apart(reported, trained or raw, self._law.d),
            alarms.unsteady(self._measured, looker.unseen),
        ]
        if averaged is not None:
            found.append(alarms.average_lags(raw, averaged, looker.unseen))
        if trained is not None and looker.trained is not None:
            found.append(alarms.memorising(raw, trained, looker.unseen, looker.trained))
        kept = {alarm.code: alarm for alarm in reversed(found) if alarm is not None}
        return list(kept.values())

    def _warn(self, step: int, found: list[Alarm]) -> None:
        """Keep warnings, and print one whose code is new."""
        for alarm in found:
            known = {warning["code"] for warning in self.warnings}
            self.warnings.append({"step": step, **alarm.to_json()})
            if self.show and alarm.code not in known:
                echo(f"step {step:,}  warning: {alarm}")

    def _tell(self, record: dict[str, Any]) -> None:
        """Print, write and hand on a record."""
        if self.show:
            echo(line_of(record))
        if self.directory is not None:
            append_text(self.directory / "monitor.jsonl", json.dumps(_finite(record)) + "\n")
        if self.writer is not None:
            numbers = {
                "loss": record["loss"]["value"],
                "floor": record["floor"]["value"],
                "excess": record["excess"]["value"],
                "averaged/excess": (record["averaged"] or {}).get("excess", {}).get("value"),
                "samples_over_floor": (record["samples"] or {}).get("value"),
            }
            for name, value in numbers.items():
                if value is not None:
                    self.writer.add_scalar(f"monitor/{name}", value, record["step"])

    # --- afterwards

    def report(self, form: str = "text") -> str:
        """Return what was seen as "text", "html" (a page by itself, with a picture) or "json"."""
        watched = Watched(self.floor, self.history, self.warnings, self._notes())
        if form == "text":
            return text_report(watched)
        if form == "html":
            return html_report(watched, self.plot() if self.history else None)
        if form == "json":
            plain = {"floor": self.floor.to_json(), "history": self.history, "warnings": self.warnings}
            return json.dumps(_finite(plain))
        raise InputError(f"There is no report as {form!r}.", 'Known: "text", "html", "json".')

    def _notes(self) -> tuple[str, ...]:
        """Return what the numbers rest on."""
        notes = [self.floor.certainty]
        if not self._looker.is_unseen:
            notes.append(
                "The loss was measured on training rows: a network that learns them by heart goes below the "
                "floor of the law. Give held_out to see it."
            )
        elif self._looker.trained is None:
            notes.append("The rows that are trained on are not known, so memorising was not looked for.")
        return (*notes, f"Watching took {self.share:.1%} of the time.")

    def __str__(self) -> str:
        return self.report()

    def _repr_html_(self) -> str:
        watched = Watched(self.floor, self.history, self.warnings, self._notes())
        return html_report(watched, self.plot() if self.history else None, by_itself=False)

    def plot(self) -> Figure:
        """Draw the losses over the steps with the floor, and the last look by noise level."""
        from diffuscope.plots import plot_monitor

        steps, losses = self._reported.curve()
        return plot_monitor(steps, losses, self.history, self.floor.as_reported)

    def save(self, directory: str | Path | None = None) -> None:
        """Write ``monitor.html``, ``monitor.json`` and ``monitor.png`` into a folder, by default its own."""
        from diffuscope.plots import save_figure

        folder = self.directory if directory is None else Path(directory)
        if folder is None:
            raise InputError("There is no folder to write into.", "Use monitor.save(FOLDER).")
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "monitor.html", self.report("html"))
        write_text(folder / "monitor.json", self.report("json"))
        save_figure(self.plot(), folder / "monitor.png")

    def as_lightning_callback(self, network: str | Callable[[Any], Any] | None = None) -> Any:
        """Return a callback for ``Trainer(callbacks=[...])`` of Lightning, or of pytorch_lightning.

        ``network`` is the name of the module's attribute that is the network ``(x, t)``, or a function of the
        module that returns it; by default the module itself. InputError where Lightning is not installed.
        """
        from diffuscope.monitoring.callbacks import lightning_callback

        return lightning_callback(self, network)


def _left(measured: Measured) -> list[list[float | None]]:
    """Return the σ/α from and to of the bands in which there is certainly something to gain."""
    bands = [band.to_json() for band in measured.bands if band.has_more]
    return [[band["from"], band["to"]] for band in bands]


def _overflow() -> Alarm:
    return Alarm(
        "samples_not_finite",
        "Samples are not finite",
        "Sampling with this network runs away from the data.",
        "Train on; if it stays so, check the prediction type and the scaling.",
    )


def _norm(network: Any) -> float:
    """Return the norm of all weights; 0 where there are none to see."""
    weights = [p.detach() for p in network.parameters()] if isinstance(network, nn.Module) else []
    if not weights:
        return 0.0
    return float(torch.stack([w.float().square().sum() for w in weights]).sum().sqrt())


def _number(loss: Any) -> float:
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return float(loss.detach())
    try:
        if isinstance(loss, Tensor | np.ndarray | str | bool):
            raise TypeError
        return float(loss)
    except (TypeError, ValueError):
        shape = getattr(loss, "shape", None)
        what = f"of shape {tuple(shape)}" if shape is not None else repr(loss)
        raise InputError(
            f"A loss {what} is not a number.", "Give the loss of the batch: a number, or a tensor's .mean()."
        ) from None


def _whole(value: Any, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(
            f"{name} must be a whole number of at least {least}, not {value!r}.", "Count steps: 1, 2, 3 ..."
        )
    return number


def _share(cost: Any) -> float:
    try:
        share = float(cost)
    except (TypeError, ValueError):
        share = math.nan
    if not share > 0:
        raise InputError(f"cost must be a number above 0, not {cost!r}.", "Use 0.02 for 2% of the time.")
    return share


def _finite(value: Any) -> Any:
    """Return plain data with None for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
