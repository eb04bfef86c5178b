"""What is wrong, what is the evidence, what would a fix gain, and what is the fix?

The worst findings come first. Those that no training can remove come before those that training may, unless
the latter are more than three times as large: a network is best judged once what surrounds it is right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from diffuscope.diagnosis.distances import Share

__all__ = ["CODES", "WORTH", "Finding", "in_order", "matters"]

WORTH = 0.3  # parts that cost at least so many floors are reported
_MORE = 3.0

_TRAINABLE = {
    "few_data": "too few data: the network memorises the training set",
    "ema_slow": "the average of the weights lags behind them",
    "learning_rate_high": "the learning rate is too high",
    "learning_rate_low": "the learning rate is too low",
    "undertrained": "training ended too early",
    "small_network": "the network is too small",
    "network_error": "errors of the network, with unknown cause",
}

CODES = {
    "not_finite": "numbers that are not finite",
    "prediction_type": "the network's output is read as the wrong quantity",
    "schedule_mismatch": "the network was trained with another schedule, or gets other times",
    "terminal_snr": "sampling does not start where training ended",
    "data_scale": "the data is not scaled for its schedule",
    "noise_missing": "steps of the sampler add too little noise",
    "noise_last_step": "noise is added in the step to clean data",
    "step_coefficients": "steps of the sampler do not match the schedule",
    "clipping": "the data estimate is clipped inside the range of the data",
    "few_steps": "the sampler takes too few steps",
    "sampling_code": "the sampling code, not the network",
    **_TRAINABLE,
}
"""Every code that a finding can have."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    code : str
        One of :data:`CODES`.
    title : str
        One line.
    evidence : str
        What was measured.
    gain : float or None
        How many floors nearer to real data samples would be; None where nothing can be measured
        before it is fixed.
    fix : str
        The setting, flag or line of code to change.
    """

    code: str
    title: str
    evidence: str
    gain: float | None
    fix: str

    def to_json(self) -> dict[str, str | float | None]:
        """Return the finding as plain data."""
        return asdict(self)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, worst first."""

    def weight(finding: Finding) -> float:
        if finding.gain is None:
            return float("inf")
        return finding.gain if finding.code in _TRAINABLE else _MORE * finding.gain

    return tuple(sorted(findings, key=weight, reverse=True))


def matters(share: Share, worth: float = WORTH) -> bool:
    """Whether a share is large enough to report, and certain."""
    return share.ratio >= worth and share.is_certain
