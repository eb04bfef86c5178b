"""Does only the data move, at the pace that was asked for, in a file that is whole or absent?"""

from __future__ import annotations

import base64
import io
import itertools
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageSequence

from diffuscope.errors import InputError, RunError
from diffuscope.plots import DATA, State
from diffuscope.plots import animation as animate
from diffuscope.plots import animation_frames as _frames
from diffuscope.plots.animation import find_ffmpeg, save_animation
from diffuscope.plots.animation_frames import Stage

pytestmark = pytest.mark.usefixtures("whole_pictures")


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def trajectory(steps: int = 6, d: int = 2, n: int = 400, last: float = 0.1) -> list[State]:
    rng = np.random.default_rng(0)
    return [
        State(scale * rng.normal(size=(n, d)), rf"$\mathbf{{x}}_{{{steps - k}}}$", k / max(steps - 1, 1))
        for k, scale in enumerate(np.geomspace(1.0, last, steps))
    ]


def read(path) -> tuple[list[np.ndarray], list[int], dict]:
    with Image.open(path) as image:
        info = dict(image.info)
        frames, times = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGB")).astype(int))
            times.append(frame.info["duration"])
    return frames, times, info


def ffmpeg_or_skip() -> str:
    try:
        return find_ffmpeg()
    except RunError:
        pytest.skip("there is no ffmpeg here")


def inside(states: list[State]) -> tuple[slice, slice]:
    top, bottom, left, right = Stage(states, color=DATA, title=None, size_px=480)._panel
    return slice(top + 1, bottom - 1), slice(left + 1, right - 1)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_axes_are_fixed_over_all_frames(tmp_path, d):
    states = trajectory(d=d)
    save_animation(states, tmp_path / "a.gif")
    frames, _, _ = read(tmp_path / "a.gif")
    assert len(frames) == len(states)
    panel = inside(states)
    header = panel[0].start - 3
    around = []
    for frame in frames:
        frame = frame.copy()
        frame[panel] = 0
        around.append(frame[header:-6])  # below the label, above the progress bar
    assert (around[0] < 240).any()  # there are ticks and a frame to compare
    assert all((other == around[0]).all() for other in around)
    assert all((a[panel] != b[panel]).any() for a, b in itertools.pairwise(frames))


def test_points_are_drawn_where_they_are():
    states = [State(np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -0.5]]), "", 0.0)]
    stage = Stage(states, color=DATA, title=None, size_px=480)
    top, bottom, left, right = stage._panel
    (x0, x1), (y0, y1) = stage.view.limits
    frame = stage.frame(states[0])
    ink = np.where(frame < _frames.INKS, frame, 0)[: bottom - 1]
    for x, y in states[0].x:
        column = left + (x - x0) / (x1 - x0) * (right - left)
        row = top + (y1 - y) / (y1 - y0) * (bottom - top)
        near = ink[round(row) - 8 : round(row) + 9, round(column) - 8 : round(column) + 9].astype(float)
        rows, columns = np.mgrid[round(row) - 8 : round(row) + 9, round(column) - 8 : round(column) + 9] + 0.5
        assert near.sum() > 0
        assert (near * rows).sum() / near.sum() == pytest.approx(row, abs=0.3)
        assert (near * columns).sum() / near.sum() == pytest.approx(column, abs=0.3)


def test_more_points_in_a_place_make_it_darker_and_never_saturate():
    levels = []
    for n in (1, 10, 100):
        states = [State(np.vstack([np.zeros((n, 2)), [[1.0, 1.0], [-1.0, -1.0]]]), "", 0.0)]
        frame = Stage(states, color=DATA, title=None, size_px=480).frame(states[0])
        levels.append(int(frame[np.where(frame < _frames.INKS)].max()))
    assert levels[0] < levels[1] < levels[2] < _frames.INKS


def test_a_histogram_has_the_area_of_its_points():
    states = [State(np.linspace(-1, 1, 1_001)[:, None], "", 0.0)]
    stage = Stage(states, color=DATA, title=None, size_px=480)
    top, bottom, left, right = stage._panel
    filled = (stage.frame(states[0])[top + 1 : bottom - 1, left + 1 : right - 1] < _frames.INKS).mean()
    (low, high), *_ = stage.view.limits
    assert filled == pytest.approx(1 / ((high - low) * stage.view.top), abs=0.02)


def test_durations_are_honoured_and_the_last_frame_is_held(tmp_path):
    save_animation(trajectory(), tmp_path / "a.gif", frame_ms=300, hold_ms=2_000)
    _, times, info = read(tmp_path / "a.gif")
    assert times == [300] * 5 + [2_000]
    assert info["loop"] == 0


def test_what_rounding_takes_from_one_frame_it_gives_to_the_next(tmp_path):
    save_animation(trajectory(10), tmp_path / "a.gif", frame_ms=33, hold_ms=0)
    _, times, _ = read(tmp_path / "a.gif")
    assert set(times) == {30, 40}
    assert sum(times) == 330


def test_the_first_frame_is_not_duplicated(tmp_path):
    save_animation(trajectory(), tmp_path / "a.gif")
    frames, _, _ = read(tmp_path / "a.gif")
    assert (frames[0] != frames[1]).mean() > 1e-3
    assert len(frames) == 6


def test_frames_that_look_alike_keep_their_time(tmp_path):
    state = trajectory(1)[0]
    save_animation([state] * 3, tmp_path / "a.gif", frame_ms=100, hold_ms=500)
    _, times, _ = read(tmp_path / "a.gif")
    assert sum(times) == 700


@pytest.mark.parametrize(("loop", "stored"), [(0, 0), (1, None), (3, 2)])
def test_a_gif_plays_as_often_as_asked(tmp_path, loop, stored):
    save_animation(trajectory(2), tmp_path / "a.gif", loop=loop)
    assert read(tmp_path / "a.gif")[2].get("loop") == stored


def test_label_and_progress_bar_follow_the_states(tmp_path):
    states = trajectory()
    stage = Stage(states, color=DATA, title="a title", size_px=480)
    frames = [stage.frame(state) for state in states]
    done = [(frame[-2] == _frames.SOLID).sum() for frame in frames]
    assert done == [round(480 * state.progress) for state in states]
    header = stage._header[1]
    assert (frames[0][:header] != frames[1][:header]).any()
    assert (frames[0][:header] == stage.frame(states[0])[:header]).all()  # nothing of the others is left


@pytest.mark.parametrize(
    "title", [None, "short", "a title that is far too long for one line of a small picture"]
)
def test_a_title_leaves_room_for_the_label(title):
    states = trajectory(2)
    stage = Stage(states, color=DATA, title=title, size_px=480)
    changed = (stage.frame(states[0]) != stage.frame(states[1]))[: stage._header[1]]
    left = np.flatnonzero(changed.any(axis=0)).min()
    assert not title or (stage._background[: stage._header[1], left - 4 :] == _frames.INKS).all()


def test_lost_points_are_counted_and_the_others_drawn(tmp_path):
    states = trajectory()
    states[3].x[:7] = np.nan
    states[4].x[:] = 1e300
    states[2].x[:] = np.inf
    save_animation(states, tmp_path / "a.gif", reference=states[-1].x)
    stage = Stage(states, color=DATA, title=None, size_px=480)
    stage.frame(states[3])
    assert stage._label.get_text().endswith("(7 not finite)")


def test_the_same_states_give_the_same_bytes(tmp_path):
    for suffix in (".gif", ".html"):
        for name in "ab":
            save_animation(trajectory(3), tmp_path / f"{name}{suffix}", title="t")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_size_is_in_pixels_and_even(tmp_path):
    save_animation(trajectory(2), tmp_path / "a.gif", size_px=241)
    assert read(tmp_path / "a.gif")[0][0].shape == (242, 242, 3)


def test_one_state_is_a_still_picture(tmp_path):
    save_animation(trajectory(1), tmp_path / "a.gif")
    save_animation(trajectory(1), tmp_path / "a.html")
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 1


def test_html_is_self_contained_and_has_every_frame(tmp_path):
    states = trajectory()
    save_animation(states, tmp_path / "a.html", frame_ms=150, title="<b> & $x$")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    written = re.sub(r'^"[A-Za-z0-9+/=]+"', "", page, flags=re.MULTILINE)
    assert not re.search(r"https?:|//\w|@import|url\(|<link|\bsrc\s*=\s*[\"'](?!data:)", written)
    assert "default-src 'none'" in page
    assert not re.search(r"@[A-Z]+@", page)
    assert "<title>&lt;b&gt; &amp; x</title>" in page
    assert "times = [150,150,150,150,150,1500]" in page
    for control in ("<button", '<input type="range"', "onkeydown", "<output>"):
        assert control in page
    stored = re.findall(r'^"([A-Za-z0-9+/=]+)"', page, flags=re.MULTILINE)
    assert len(stored) == len(states)
    stage = Stage(states, color=animate.NOISE, title="<b> & $x$", size_px=480)
    with Image.open(io.BytesIO(base64.b64decode(stored[2]))) as image:
        assert (np.asarray(image.convert("RGB")) == stage.palette[stage.frame(states[2])]).all()


def test_mp4_has_the_frames_and_the_time_that_were_asked_for(tmp_path):
    ffmpeg = ffmpeg_or_skip()
    states, path = trajectory(), tmp_path / "a.mp4"
    save_animation(states, path, frame_ms=100, hold_ms=500, size_px=240)
    decode = [ffmpeg, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    decoded = subprocess.run(decode, check=True, capture_output=True)
    said = decoded.stderr.decode()
    assert "Duration: 00:00:01.00" in said
    assert "h264" in said
    frames = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, 240, 240, 3).astype(int)
    assert len(frames) == 5 + 5
    stage = Stage(states, color=animate.NOISE, title=None, size_px=240)
    drawn = stage.palette[stage.frame(states[-1])].astype(int)
    assert np.abs(frames[-1] - drawn).mean() < 6
    assert np.abs(frames[0] - drawn).mean() > 6


def test_mp4_without_ffmpeg_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(RunError, match="pip install imageio-ffmpeg"):
        save_animation(trajectory(2), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_ffmpeg_that_fails_is_quoted_and_leaves_the_old_file(tmp_path, monkeypatch):
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(animate, "find_ffmpeg", lambda: str(broken))
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RunError, match="Unknown encoder libx264"):
        save_animation(trajectory(3), path)
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "ffmpeg"]


@pytest.mark.parametrize("suffix", [".gif", ".html", ".mp4"])
def test_a_failure_on_the_way_leaves_nothing_behind(tmp_path, monkeypatch, suffix):
    if suffix == ".mp4":
        ffmpeg_or_skip()
    states = trajectory(4)
    draw = Stage.frame

    def failing(self, state):
        if state is states[2]:
            raise KeyboardInterrupt
        return draw(self, state)

    monkeypatch.setattr(Stage, "frame", failing)
    with pytest.raises(KeyboardInterrupt):
        save_animation(states, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.avi", {}, r"\.gif, \.html, \.mp4"),
        ("a", {}, r"\.gif, \.html, \.mp4"),
        ("a.gif", {"frame_ms": 5}, "frame_ms=20 or more"),
        ("a.gif", {"frame_ms": float("nan")}, "not valid"),
        ("a.html", {"frame_ms": 0}, "not valid"),
        ("a.gif", {"hold_ms": -1}, "not valid"),
        ("a.gif", {"size_px": 10}, "between 160 and 4096"),
        ("a.gif", {"loop": -1}, "loop=0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        save_animation(trajectory(2), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_no_states_and_mixed_dimensions_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to animate"):
        save_animation([], tmp_path / "a.gif")
    with pytest.raises(InputError, match="cannot share a figure"):
        save_animation([*trajectory(2), *trajectory(1, d=3)], tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
