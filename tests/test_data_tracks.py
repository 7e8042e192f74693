"""Tracks as people have them: layouts, headers, clocks, names of agents, folders with splits."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from absynth.data import open, tracks
from absynth.data.sets import empty
from absynth.data.times import frames_of_times
from absynth.data.track_set import TrackSet
from absynth.errors import InputError

AGENTS, STEPS = 12, 40


def walks(seed: int = 0) -> list[tuple[int, int, float, float]]:
    """Frame, agent, x and y of agents that walk smoothly."""
    rng = np.random.default_rng(seed)
    found = []
    for agent in range(1, AGENTS + 1):
        velocity, at = rng.normal(0, 0.4, 2), rng.normal(0, 5, 2)
        for step in range(STEPS):
            velocity = velocity + rng.normal(0, 0.03, 2)
            at = at + velocity
            found.append((step, agent, round(float(at[0]), 4), round(float(at[1]), 4)))
    return found


WALKS = walks()


def write(path: Path, line, head: str = "", rows=WALKS) -> Path:
    path.write_text(head + "".join(line(*row) + "\n" for row in rows))
    return path


def same(found: tracks.Tracks, scale: float = 1.0) -> None:
    """The recording is that of WALKS."""
    ordered = sorted(WALKS, key=lambda row: (row[1], row[0]))
    torch.testing.assert_close(found.xy * scale, torch.tensor([row[2:] for row in ordered], dtype=torch.float64))
    assert len(found.agent.unique()) == AGENTS
    assert len(tracks.cut([found]).past) == AGENTS * (STEPS - 19)


# --- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [
        ("plain.txt", "", "{f} {a} {x} {y}"),
        ("tabs.txt", "", "{f}.0\t{a}.0\t{x}\t{y}"),
        ("commas.csv", "", "{f},{a},{x},{y}"),
        ("mixed.csv", "", "{f}, {a}, {x}, {y}"),
        ("names.csv", "x,y,track_id,frame_number\n", "{x},{y},{a},{f}"),
        ("units.csv", "frame;ped id;X [m];Y [m]\n", "{f};{a};{x};{y}"),
        ("decimal.csv", "frame;id;x;y\n", "{f};{a};{cx};{cy}"),
        ("more.csv", "id,t,x,y,speed\n", "{a},{f},{x},{y},1.5"),
        ("centers.csv", "recordingId,trackId,frame,xCenter,yCenter\n", "7,{a},{f},{x},{y}"),
        ("argoverse.csv", "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,Y\n", "{f},id-{a:03d},AV,{x},{y}"),
        ("people.csv", "frame,agent,x,y\n", '{f},"Person {a:03d}",{x},{y}'),
        ("obsmat.txt", "", "{f}.0e+00 {a}.0 {x} 0.0 {y} 0.1 0.0 0.2"),
        ("annotations.txt", "", '{a} {x0} {y0} {x1} {y1} {f} 0 0 0 "Pedestrian"'),
        ("comment.txt", "# frame agent x y\n\n", "{f} {a} {x} {y}"),
        ("trajnet.ndjson", '{"scene": {"id": 1}}\n', '{{"track": {{"f": {f}, "p": {a}, "x": {x}, "y": {y}}}}}'),
    ],
)
def test_layouts(tmp_path, name, head, line):
    def filled(f, a, x, y):
        comma = [str(v).replace(".", ",") for v in (x, y)]
        return line.format(f=f, a=a, x=x, y=y, cx=comma[0], cy=comma[1], x0=x - 1, y0=y - 2, x1=x + 1, y1=y + 2)

    same(tracks.read(write(tmp_path / name, filled, head)))
    assert open(tmp_path / name).kind == "tracks"


def test_lost_boxes_are_left_out(tmp_path):
    path = write(tmp_path / "a.txt", lambda f, a, x, y: f'{a} {x} {y} {x} {y} {f} {int(f == 39)} 0 0 "Biker"')
    assert len(tracks.read(path)) == AGENTS * (STEPS - 1)


def test_ngsim_numbers_vehicles_twice(tmp_path):
    head = "Vehicle_ID,Frame_ID,Total_Frames,Global_Time,Local_X,Local_Y,Location\n"
    path = write(tmp_path / "n.csv", lambda f, a, x, y: f"{a % 3},{f},{100 + a},116330{f:04d}00,{x},{y},us-101", head)
    found = tracks.read(path)
    assert len(found.agent.unique()) == AGENTS
    assert "in feet" in found.notes[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lambda f, a, x, y: f"{f} {a} {x} 0.5 {y} 0.1 0.2 0.3", "got 8 columns without a header"),
        (lambda f, a, x, y: f"{f} {a} {x} {y} 1.0", "got 5 columns without a header"),
        (lambda f, a, x, y: f"{f} {a} {x} {y} 1.0 2.0", "got 6 columns without a header"),
        (lambda f, a, x, y: f"{a} {f} {x} {y}", "the first column seems to be the agent"),
        (lambda f, a, x, y: f"{f} {a} {x}", "line 1: expected frame, agent, x, y"),
    ],
)
def test_what_could_be_misread_is_refused(tmp_path, line, said):
    with pytest.raises(InputError, match=said):
        tracks.read(write(tmp_path / "t.txt", line))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frame,id,lat,lon\n0,1,2,3\n", "name one x"),
        ("frame,id,x,y\n0,1,2,1e300\n", "line 2"),
        ("frame,id,x,y\n0,1,2,nan\n", "line 2"),
        ("frame,id,x,y\n0,1,2\n", "line 2"),
        ('{"track": {"f": 1}}\n', "expected columns frame"),
        ("0 1 2 3\n0 1 4 5\n", r"two of agent 1 in frame 0 \(lines 1 and 2\)"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, said):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=said) as error:
        tracks.read(tmp_path / "t.txt")
    assert "\n" not in str(error.value)


def test_ids_are_text(tmp_path):
    line = lambda f, a, x, y: f"{f} {a + 10**20} {x} {y}"  # noqa: E731  # beyond any integer
    same(tracks.read(write(tmp_path / "t.txt", line)))
    line = lambda f, a, x, y: f"{f} 1.{a:02d} {x} {y}"  # noqa: E731  # rounded, all would be agent 1
    same(tracks.read(write(tmp_path / "t.txt", line)))


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clock",
    [
        lambda f: f"{0.4 * f:.1f}", lambda f: f"{0.5 * f}", lambda f: f"{1_700_000_000 + 0.1 * f:.3f}",
        lambda f: f"{1_700_000_000_000 + 400 * f + (f * 7919) % 7 - 3}", lambda f: f"{f / 29.97:.6f}",
        lambda f: f"{6 * f}",
    ],
)  # fmt: skip
def test_clocks(tmp_path, clock):
    same(tracks.read(write(tmp_path / "t.csv", lambda f, a, x, y: f"{clock(f)},{a},{x},{y}", "t,id,x,y\n")))


def test_gaps_break_a_track():
    steps = np.array([0.4] * 30 + [1.2] + [0.4] * 30 + [0.63] + [0.4] * 30)
    time = np.concatenate([[0.0], np.cumsum(steps)])
    frame, notes = frames_of_times(time, np.zeros(len(time)))
    assert set(np.diff(frame).tolist()) == {1, 3}  # a gap of three steps, and one that fits none: never an interval
    assert np.diff(frame)[30] == 3
    assert np.diff(frame)[61] > 1
    assert notes == ("times in steps of 0.4",)


def test_times_without_an_interval_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(size=STEPS))
    with pytest.raises(InputError, match=r"t\.csv: expected times at even intervals"):
        tracks.read(write(tmp_path / "t.csv", lambda f, a, x, y: f"{times[f]:.4f},{a},{x},{y}", "t,id,x,y\n"))


# --- folders and data sets ------------------------------------------------------------------------------------------


def line4(f, a, x, y):
    return f"{f} {a} {x} {y}"


def test_a_folder_with_its_own_splits(tmp_path):
    for part, n in (("train", 3), ("val", 1), ("test", 2)):
        (tmp_path / part).mkdir()
        for i in range(n):
            write(tmp_path / part / f"{i}.txt", line4, rows=walks(i))
    data = open(tmp_path)
    assert isinstance(data, TrackSet)
    assert [len(data.split(part).recordings) for part in ("train", "validation", "test")] == [3, 1, 2]
    assert len(data) == 2 * 3 * AGENTS * (STEPS - 19)  # with mirror images


def test_recordings_are_held_out_whole(tmp_path):
    for i in range(5):
        write(tmp_path / f"{i}.txt", line4, rows=walks(i))
    (tmp_path / ".hidden.txt").write_text("junk")
    data = open(tmp_path)
    assert [r.name for r in data.recordings] == ["0", "1", "2", "3"]
    assert [r.name for r in data.split("test").recordings] == ["4"]


def test_validation_sets_whole_agents_aside(tmp_path):
    data = open(write(tmp_path / "t.txt", line4), validation=0.25, mirror=False, past=4, future=4)
    agents = {part: set(data.split(part).windows.agent.tolist()) for part in ("train", "validation")}
    assert len(agents["validation"]) == 3
    assert not agents["train"] & agents["validation"]
    with pytest.raises(InputError, match="no validation split"):
        open(tmp_path / "t.txt", past=4, future=4).split("validation")


def test_a_track_set_is_rebuilt_and_says_what_it_is(tmp_path):
    data = open(
        write(tmp_path / "t.csv", lambda f, a, x, y: f"{0.4 * f:.1f},{a},{x},{y}", "t,id,x,y\n"), past=4, future=4
    )
    assert "times in steps of 0.4" in data.summary()
    again = empty(json.loads(json.dumps(data.description())))
    assert (again.shape, again.condition, again.unit_length) == (data.shape, data.condition, data.unit_length)
    assert len(again) == 0


# --- further forms ---------------------------------------------------------------------------------------------------


def test_the_same_tracks_are_read_however_they_are_written(tmp_path: Path):
    plain = "0 1 1.5 2.5\n10 1 2 3\n0 2 -1 0\n"
    forms = {
        "a.txt": plain,
        "b.csv": plain.replace(" ", ","),
        "c.csv": "id;y;t;x\n1;2.5;0;1.5\n2;0;0;-1\n1;3;10;2\n",  # named columns, in another order
        "d.txt": "# a comment\n\n" + plain.replace("10 1", "10.0\t1.0"),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        found = tracks.read(tmp_path / name)
        assert found.agent.tolist() == [1, 1, 2]
        assert found.frame.tolist() == [0, 10, 0]
        assert found.xy.tolist() == [[1.5, 2.5], [2, 3], [-1, 0]]
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(plain.encode()))
    assert tracks.read(tmp_path / "e.txt.gz").xy.tolist() == found.xy.tolist()
    assert len(tracks.read_all(tmp_path)) == 5


def test_agents_may_be_names_and_positions_unknown(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("0 car 1 1\n0 bus 2 2\n5 bus ? ?\n5 car 1 2\n")
    found = tracks.read(path)
    assert found.agent.tolist() == [0, 1, 1]  # names in their order
    assert found.interval() == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got none"),
        ("0 1 2\n", "line 1: expected frame, agent, x, y"),
        ("0 1 2 3\n1 1 x 3\n", "line 2"),
        ("0 1 nan 3\n", "line 1"),
        ("0 1 inf 3\n", "line 1"),
        ("frame,agent,x\n0,1,2\n", "name one y"),
        ("0 1 2 3\n0 1 4 5\n", "one position an agent and frame"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        tracks.read(path)
    assert said in str(error.value)
    assert "bad.txt" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_told(tmp_path: Path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match=r"none|\.txt"):
            tracks.read_all(path)
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(InputError, match="tracks as text"):
        tracks.read(tmp_path / "x.txt")


# --- clocks and names without a header ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["{a}", "ped_{a}"])
@pytest.mark.parametrize("clock", ["{t}", "{s:.1f}", "{ms}"])
def test_tracks_without_a_header_are_recognized_by_their_clock(tmp_path: Path, name: str, clock: str):
    lines = [
        f"{clock.format(t=t, s=t * 0.4, ms=1600000000000 + 400 * t)} {name.format(a=a)} {0.4 * t + a:.2f} {0.1 * t:.2f}"
        for t in range(60)
        for a in range(4)
    ]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    data = open(tmp_path / "a.txt")
    assert (data.kind, data.shape) == ("tracks", (12, 2))
    assert len(data) > 50
    assert len(data.split("test")) > 0
    shuffled = [f"{i * 0.4:.1f} {i * i % 5} {i * 7 % 11} {i % 3}" for i in range(60)]
    (tmp_path / "b.txt").write_text("\n".join(shuffled))
    assert open(tmp_path / "b.txt").kind == "table"


@pytest.mark.parametrize(
    "form", ["2020-01-01 00:{m:02d}:{s:02d}", "00:{m:02d}:{s:02d}", "2020-01-01T00:{m:02d}:{s:02d}Z"]
)
def test_times_may_be_dates_and_clocks(tmp_path: Path, form: str):
    rows = [f"{form.format(m=t // 30, s=2 * (t % 30))},{a},{t},{a + t / 2}" for t in range(50) for a in range(3)]
    (tmp_path / "a.csv").write_text("\n".join(["time,id,x,y", *rows]))
    frames = tracks.read(tmp_path / "a.csv").frame
    assert len(open(tmp_path / "a.csv")) > 20
    assert set(frames.diff()[:49].tolist()) == {2}
