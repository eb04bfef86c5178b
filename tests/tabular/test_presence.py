"""Are the patterns of missing values those of the rows, and is a network asked where they are too many?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.presence import Patterns


def table(n: int, sets: int, seed: int = 0) -> pd.DataFrame:
    """Numbers: the second is missing where the first is, each of the others at random."""
    random = np.random.default_rng(seed)
    x = pd.DataFrame(random.normal(size=(n, sets + 1)), columns=[f"x{j}" for j in range(sets + 1)])
    first = random.random(n) < 0.3
    x.loc[first, ["x0", "x1"]] = np.nan
    for j in range(2, sets + 1):
        x.loc[random.random(n) < 0.5, f"x{j}"] = np.nan
    return x


def test_patterns_have_the_shares_of_the_rows():
    x = table(2000, 3)
    codec = RowCodec.fit(x)
    assert codec.patterns is not None
    assert codec.patterns.count == len(codec.presence) == 3
    drawn = codec.patterns.draw(20_000, 1)
    of_rows = x[["x0", "x2", "x3"]].notna().value_counts(normalize=True)
    of_drawn = pd.DataFrame(drawn).value_counts(normalize=True)
    assert len(of_rows) == len(of_drawn) == 8
    for pattern, share in of_rows.items():
        assert of_drawn[pattern] == pytest.approx(share, abs=5 * (share / 20_000) ** 0.5)


def test_rows_count_by_their_weights():
    x = table(500, 1)
    there = x["x0"].notna().to_numpy()
    codec = RowCodec.fit(x, weights=np.where(there, 3.0, 1.0))
    expected = 3 * there.sum() / (3 * there.sum() + (~there).sum())
    assert dict(zip(codec.patterns.present, codec.patterns.shares, strict=True))["1"] == pytest.approx(
        expected
    )


def test_where_most_rows_have_a_pattern_of_their_own_the_network_draws_them():
    assert RowCodec.fit(table(300, 12)).patterns is None
    assert RowCodec.fit(table(300, 1).dropna()).patterns is None


@pytest.mark.parametrize(
    "parts",
    [
        {"present": ["10", "10"], "shares": [0.5, 0.5]},
        {"present": ["10", "1"], "shares": [0.5, 0.5]},
        {"present": ["12"], "shares": [1.0]},
        {"present": ["10"], "shares": [0.5]},
        {"present": ["10", "01"], "shares": [1.0]},
        {"present": [], "shares": []},
    ],
)
def test_patterns_that_cannot_be_are_refused(parts):
    with pytest.raises(ValidationError):
        Patterns.model_validate(parts)


def test_a_codec_refuses_patterns_of_other_sets():
    codec = RowCodec.fit(table(200, 2))
    other = codec.model_dump(mode="json") | {"patterns": {"present": ["1"], "shares": [1.0]}}
    with pytest.raises(ValueError, match="patterns are those of presence"):
        RowCodec.model_validate_json(json.dumps(other))
