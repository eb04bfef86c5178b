"""Does the studio show runs of all kinds of data, with samples that are those of the package?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope.errors import InputError
from diffuscope.studio.opening import open_session
from diffuscope.studio.plane_session import PlaneSession
from diffuscope.studio.run_session import RunSession
from diffuscope.viewer.recording import Recorder

from .client import Client


def watching(run: diffuscope.Run) -> Client:
    """Return a client of the session of a run."""
    return Client(lambda send, next_command: RunSession(send, next_command, run))


def people(n: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    age = random.integers(18, 80, n)
    return pd.DataFrame(
        {
            "age": age,
            "income": np.exp(random.normal(10, 1.2, n)),
            "city": random.choice(["Oslo", "Lyon", "Rome"], n),
            "born": pd.Timestamp("2020-01-01") - pd.to_timedelta(age * 365.0, "D"),
            "smoker": np.where(random.random(n) < 0.1, None, random.random(n) < 0.4),
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Client:
    settings = {"training.steps": 40, "network.width": 16}
    run = diffuscope.train(
        people(300),
        target="city",
        out=tmp_path_factory.mktemp("table") / "run",
        settings=settings,
        pictures=False,
    )
    return watching(run)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Client:
    settings = {"training.steps": 2, "sampling.steps": 6, "data.size": 100, "network.width": 8}
    out = tmp_path_factory.mktemp("images") / "run"
    return watching(diffuscope.train("digits", out=out, settings=settings, pictures=False))


def places(column: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return the values that a page reads from places on an axis."""
    low, high = column["limits"]
    value = np.where(x == 65_535, np.nan, low + x / 65_534 * (high - low))
    return 10**value if column["log"] else value


def test_a_table_is_shown_by_its_columns(table):
    about = table.ask("hello")["payload"]
    assert about["look"] == "run"
    assert about["unit"] == "rows"
    by_name = {choice["name"]: choice for choice in about["choices"]}
    assert list(by_name) == ["city", "age", "income", "born", "smoker"]
    assert by_name["city"] == {"name": "city", "values": ["Lyon", "Oslo", "Rome"], "guided": True}
    assert by_name["smoker"]["values"] == ["true", "false"]
    walk = table.ask("walk", {"n": 60, "seed": 1, "steps": 5})
    assert walk["look"] == "columns"
    assert len(walk["steps"]) == len(walk["levels"]) == 6
    assert walk["levels"][-1]["sigma"] == 0
    columns = {column["name"]: column for column in walk["columns"]}
    run = table.session.run
    expected = run.sample(60, seed=1, steps=5)
    for name in ("age", "income"):
        shown = places(columns[name], columns[name]["states"].reshape(6, 60)[-1])
        tolerance = 0.31 if name == "age" else 0.02 * expected[name].max()  # integers are spread
        inside = expected[name].between(expected[name].quantile(0.03), expected[name].quantile(0.97))
        np.testing.assert_allclose(shown[inside], expected[name][inside], atol=tolerance)
    city = columns["city"]
    codes = np.round(places(city, city["states"].reshape(6, 60)[-1])).astype(int)
    assert [city["labels"][code] for code in codes] == list(expected["city"])
    assert columns["born"]["time"]
    assert columns["income"]["log"]
    assert len(columns["age"]["real"]) == 300
    smokers = columns["smoker"]
    assert 0 < (smokers["real"] == 65_535).mean() < 0.3
    real, made = np.array(walk["associations"])
    assert real.shape == made.shape == (5, 5)
    names = [column["name"] for column in walk["columns"]]
    assert real[names.index("age"), names.index("born")] < -0.9


def test_rows_are_drawn_under_a_condition(table):
    walk = table.ask(
        "walk", {"n": 50, "seed": 0, "condition": {"city": "Rome", "age": "30"}, "guidance": 2.0}
    )
    columns = {column["name"]: column for column in walk["columns"]}
    codes = places(columns["city"], columns["city"]["states"][-50:])
    assert {columns["city"]["labels"][code] for code in np.round(codes).astype(int)} == {"Rome"}
    np.testing.assert_allclose(places(columns["age"], columns["age"]["states"][-50:]), 30, atol=0.31)
    condition = {"age": "30", "city": "Rome"}
    assert walk["how"] == {
        "sampler": "dpmpp_2m",
        "steps": 15,
        "seed": 0,
        "guidance": 2.0,
        "condition": condition,
    }
    with pytest.raises(InputError, match="not a value of the column 'city'"):
        table.ask("walk", {"n": 5, "seed": 0, "condition": {"city": "Atlantis"}})
    with pytest.raises(InputError, match="height"):
        table.ask("walk", {"n": 5, "seed": 0, "condition": {"height": "1"}})


def test_images_are_sheets_with_classes_in_turn(images):
    about = images.ask("hello")["payload"]
    assert [choice["name"] for choice in about["choices"]] == ["class"]
    assert about["guidance"] is not None
    walk = images.ask("walk", {"n": 40, "seed": 2})
    assert walk["look"] == "sheets"
    assert walk["titles"] == [str(k) for k in range(10)]
    assert len(walk["states"]) == 7
    assert all(state.startswith("data:image/webp;base64,") for state in walk["states"])
    assert walk["real"].startswith("data:image/webp")
    parts = [message["work"]["part"] for message in images.sent if "work" in message]
    assert parts == sorted(parts)
    assert parts[-1] <= 0.99
    one = images.ask("walk", {"n": 12, "seed": 2, "condition": {"class": "3"}, "guidance": 1.5})
    assert one["titles"] == []
    estimates = images.ask("walk", {"n": 12, "seed": 2, "condition": {"class": "3"}, "estimates": True})
    assert estimates["states"][0] != one["states"][0]
    with pytest.raises(InputError, match="class"):
        images.ask("walk", {"n": 12, "seed": 2, "condition": {"class": "eleven"}})


def test_the_last_sheet_has_the_samples(images):
    import base64
    import io

    from PIL import Image

    walk = images.ask("walk", {"n": 8, "seed": 5, "condition": {"class": "4"}})
    data = base64.b64decode(walk["states"][-1].partition(",")[2])
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    (width, height), gap = walk["size"], walk["gap"]
    expected = images.session.run.sample(8, y="4", seed=5)
    for i, image in enumerate(expected):
        row, column = divmod(i, walk["columns"])
        top, left = row * (height + gap), column * (width + gap)
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], image[0])


def test_a_walk_that_is_not_needed_ends(images, monkeypatch):
    monkeypatch.setattr("diffuscope.studio.run_session._EVERY", 0.0)
    images.during = [{"id": 7, "question": "hello"}, {"id": 8, "question": "stop"}]
    with pytest.raises(InputError, match="Stopped"):
        images.ask("walk", {"n": 40, "seed": 2})
    answered = [message["id"] for message in images.sent if "id" in message]
    assert answered == [1, 7, 8]


def test_points_of_three_columns_are_shown_too(tiny, tmp_path):
    run = tiny(data=np.random.default_rng(0).normal(size=(200, 3)))
    session = open_session(str(run.path), None, lambda message: None, lambda wait: None)
    assert isinstance(session, RunSession)
    walk = session.on_walk(session.requests["walk"](n=20, seed=0))
    assert [column["name"] for column in walk["columns"]] == ["x1", "x2", "x3"]
    plane = open_session(
        str(tiny(out=tmp_path / "plane").path), None, lambda message: None, lambda wait: None
    )
    assert isinstance(plane, PlaneSession)


@pytest.mark.parametrize("kind", [pytest.param("table", marks=pytest.mark.slow), "images"])
def test_a_run_is_one_file(kind, request, tmp_path):
    client = request.getfixturevalue(kind)
    page = client.ask("save", {"language": "zh"})["html"]
    assert '"look":"walk"' in page
    assert '"language":"zh"' in page
    assert len(page.encode()) < 500_000
    path = client.session.run.view().save(tmp_path / "run.html")
    assert path.stat().st_size < 500_000
    assert client.session.run._repr_html_().count("iframe") == 0  # a card: it samples for the picture alone


def test_a_file_of_large_images_stays_small(images, monkeypatch):
    recorder = Recorder(images.session.run.figures, "digits")
    monkeypatch.setattr(type(recorder.figures), "bytes_shown", 0.4 * 1.2 * 256 * 256)
    n, moments = recorder.count(50, file=True)
    assert (n, moments) == (4, 15)
    assert recorder.count(50)[0] >= 6


def test_a_file_has_the_samples_that_are_drawn_now(table):
    choice = table.session.recorder.about(**table.session.run.results)["choices"][0]
    name, value = choice["name"], choice["values"][0]
    ask = {"n": 20, "seed": 3, "sampler": "ddim", "steps": 4, "condition": {name: value}, "guidance": None}
    walk = table.ask("walk", {**ask, "estimates": False})
    assert walk["how"]["condition"] == {name: value}
    page = table.ask("save", {"language": "en"})["html"]
    assert f'"condition":{{"{name}":"{value}"}}' in page.replace("\\u003c", "<")
    assert '"sampler":"ddim","steps":4,"seed":3' in page
