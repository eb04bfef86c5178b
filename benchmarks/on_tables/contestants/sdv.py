"""Synthetic rows by ``sdv``: a Gaussian copula, CTGAN and TVAE (Xu & others 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from on_tables.contestants.base import Contestant, is_number

__all__ = ["Copula", "Ctgan", "Tvae"]


class _Synthesizer(Contestant):
    """A synthesizer of SDV as it comes, on the CPU."""

    name: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - read only

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        import torch
        from sdv import single_table
        from sdv.metadata import Metadata

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.dtypes = table.dtypes
        columns = {}
        for name, column in table.items():
            if pd.api.types.is_datetime64_any_dtype(column):
                columns[name] = {"sdtype": "datetime"}
            else:
                columns[name] = {"sdtype": "numerical" if is_number(column) else "categorical"}
        metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}, "relationships": []})
        plain = table.copy()
        for name in table.select_dtypes("category"):
            plain[name] = plain[name].astype(object)
        self.model = getattr(single_table, self.name)(metadata, **self.settings)
        self.model.fit({"table": plain})

    def sample(self, n: int) -> pd.DataFrame:
        rows: pd.DataFrame = self.model.sample(n)["table"]
        for name, dtype in self.dtypes.items():
            if isinstance(dtype, pd.CategoricalDtype):
                rows[name] = rows[name].astype(dtype)
        return rows


class Copula(_Synthesizer):
    """Marginal laws, joined by a normal one."""

    name = "GaussianCopulaSynthesizer"


class Ctgan(_Synthesizer):
    """A conditional generative adversarial network."""

    name, settings = "CTGANSynthesizer", {"enable_gpu": False}


class Tvae(_Synthesizer):
    """A variational autoencoder."""

    name, settings = "TVAESynthesizer", {"enable_gpu": False}
