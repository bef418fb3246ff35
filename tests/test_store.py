"""What is written is whole or not there; what a stranger wrote is read safely or refused by name."""

import errno
import io
import math
import os
import pickletools
import stat
import zipfile
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
import yaml

from harness import config, groups, store
from harness.store import Corrupt

OLD, NEW = b"old bytes\n", b"new and longer bytes\n" * 1000
STEPS = ("open", "write", "flush", "fsync", "replace", "fsync folder")


class Killed(BaseException):
    """The process ends here: nothing after it is done, no handler of errors runs."""


class Disk:
    """The calls of the operating system that a writer makes, one of which raises ``error``."""

    def __init__(self, monkeypatch):
        self.breaks, self.error, self.short = None, None, False
        opened, fsync, replace = Path.open, os.fsync, os.replace

        def fsync_of(handle):
            kind = "fsync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync"
            self.call(kind, fsync, handle)

        def open_of(path, mode="r", *more):
            return (
                File(self, self.call("open", opened, path, mode))
                if set(mode) & set("wx")
                else opened(path, mode, *more)
            )

        monkeypatch.setattr(Path, "open", open_of)
        monkeypatch.setattr(os, "fsync", fsync_of)
        monkeypatch.setattr(os, "replace", lambda *a: self.call("replace", replace, *a))

    def call(self, step, function, *arguments):
        if self.breaks == f"before {step}":
            raise self.error
        result = function(*arguments)
        if self.breaks == f"after {step}":
            if step == "open":
                result.close()
            raise self.error
        return result


class File:
    """A file whose calls go through the disk."""

    def __init__(self, disk, file):
        self.disk, self.file = disk, file

    def write(self, data):
        if self.disk.short:
            return self.file.write(data[: len(data) // 2])
        if self.disk.breaks == "amid write":
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            raise self.disk.error
        return self.disk.call("write", self.file.write, data)

    def flush(self):
        self.disk.call("flush", self.file.flush)

    def fileno(self):
        return self.file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.file.close()


def writing(writer, disk, path, breaks=None, error=None, short=False):
    """(error raised, bytes in the file, other files) after a write over old bytes that meets with something."""
    path.write_bytes(OLD)
    disk.breaks, disk.error, disk.short = breaks, error, short
    raised = None
    try:
        writer(path, NEW)
    except (OSError, Killed) as caught:
        raised = caught
    disk.breaks, disk.short = None, False
    found = path.read_bytes() if path.exists() else None
    return raised, found, [other for other in path.parent.iterdir() if other != path]


def silent_losses(writer, disk, path):
    """Failures of the disk after which the old bytes are gone, a temporary is left or the user is not told enough."""
    where = ["amid write", *(f"before {step}" for step in STEPS)]
    numbers = (errno.ENOSPC, errno.EROFS, errno.EIO)
    cases = [{"breaks": at, "error": OSError(n, os.strerror(n))} for at, n in product(where, numbers)]
    for case in [*cases, {"short": True}]:
        raised, found, others = writing(writer, disk, path, **case)
        whole = found == OLD or (found == NEW and case.get("breaks") == "before fsync folder")
        told = raised is not None and str(path) in str(raised)
        if not (whole and told and f"{len(NEW)} bytes needed" in str(raised) and " free" in str(raised)) or others:
            yield case


def bad_states(writer, disk, path):
    """Moments at which being killed leaves neither the old bytes nor the new ones."""
    for at in ["amid write", *(f"{when} {step}" for step in STEPS for when in ("before", "after"))]:
        raised, found, _ = writing(writer, disk, path, at, Killed())
        if isinstance(raised, Killed) and found not in (OLD, NEW):
            yield at


def in_place(path, data):
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_and_rename(path, data):
    temporary = path.with_suffix(".tmp")
    in_place(temporary, data)
    path.unlink()
    os.replace(temporary, path)  # noqa: PTH105 - the call that the disk watches


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


CASES = 3 * (1 + len(STEPS)) + 1


@pytest.mark.torture
def test_no_failure_of_the_disk_loses_the_old_bytes_or_goes_untold(disk, tmp_path, promise):
    lost = list(silent_losses(store.write, disk, tmp_path / "scores.csv"))
    assert lost == []
    promise(4, CASES, CASES - len(lost))


@pytest.mark.torture
def test_no_moment_of_a_kill_leaves_half_a_file(disk, tmp_path, promise):
    bad = list(bad_states(store.write, disk, tmp_path / "scores.csv"))
    assert bad == []
    promise(2, 1 + 2 * len(STEPS), 1 + 2 * len(STEPS) - len(bad))
    store.write(tmp_path / "scores.csv", NEW)
    assert (tmp_path / "scores.csv").read_bytes() == NEW


@pytest.mark.torture
@pytest.mark.parametrize("row", [2, 4])
@pytest.mark.parametrize("twin", [in_place, remove_and_rename])
def test_a_careless_writer_is_caught(twin, row, disk, tmp_path, promise):
    found = {2: bad_states, 4: silent_losses}[row](twin, disk, tmp_path / "scores.csv")
    promise(row, twins=1, caught=len(list(found)) > 0)


def test_the_calls_that_are_broken_are_the_calls_that_are_made(disk, tmp_path):
    for step in STEPS:
        for when in ("before", "after"):
            raised, _, _ = writing(store.write, disk, tmp_path / "scores.csv", f"{when} {step}", Killed())
            assert isinstance(raised, Killed)


@pytest.mark.parametrize("opens", [lambda path: store.write(path, "four"), store.opened], ids=["write", "opened"])
def test_a_folder_that_cannot_be_made_is_told_as_a_file_that_cannot_be_written_is(opens, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=r"x/log.txt cannot be written .*Not a dir.*: [04] bytes needed, \d+ free"):
        opens(tmp_path / "runs" / "x" / "log.txt")


def test_no_failure_of_the_disk_loses_a_line_of_a_log_untold(tmp_path, monkeypatch):
    log, written = tmp_path / "log.txt", os.write
    store.append(log, "one\n")
    store.append(log, "two\n")
    for number in (errno.ENOSPC, errno.EROFS, errno.EIO):
        for name in ("open", "write", "fsync"):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, partial(refuse, OSError(number, os.strerror(number))))
                with pytest.raises(OSError, match=f"{log} cannot be written .* 6 bytes needed, [0-9]+ free"):
                    store.append(log, "three\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: written(handle, data[:2]))
        with pytest.raises(OSError, match="short write"):
            store.append(log, "three\n")
    assert log.read_text().startswith("one\ntwo\n")


def refuse(error, *_):
    raise error


def test_results_of_a_newer_harness_are_named_as_such(tmp_path):
    where = filled(tmp_path)
    store.write(where / "run.json", store.to_json(RECORD | {"format": 3}))
    with pytest.raises(Corrupt, match=r"newer harness \(format 3, this one reads up to 2\): update this one"):
        store.read_run(where)
    store.save_record(where, RECORD)
    assert store.load_record(where) == RECORD | {"format": 2}


def test_what_is_written_is_read(tmp_path):
    store.write(tmp_path / "new" / "folder" / "a", NEW)
    store.write(tmp_path / "new" / "folder" / "a", "märk")
    assert (tmp_path / "new" / "folder" / "a").read_text(encoding="utf-8") == "märk"
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_a_number_that_is_none_is_not_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.to_json({"loss": [value]})


HOSTILE_JSON = {
    "NaN": '{"loss": NaN}',
    "Infinity": '{"loss": -Infinity}',
    "1e400": '{"loss": 1e400}',
    "10_000_digits": '{"loss": ' + "9" * 10_000 + "}",
    "half_a_character": '{"reason": "\\ud800"}',
    "depth": '{"a":' * 10_000,
    "list": "[1, 2]",
    "word": '"DONE"',
    "empty": "",
    "half": '{"status": "DO',
    "two": "{} {}",
    "not_text": b"\x80\x04\x95",
    "too_large": '{"a": "' + "x" * store.SMALL + '"}',
}
HOSTILE_YAML = {
    "python_object": "a: !!python/object/apply:os.mkdir [planted]",
    "python_name": "a: !!python/name:os.system",
    "own_tag": "a: !mine 3",
    "harmless_tag": "a: !!str 3",
    "binary": "a: !!binary aGVsbG8=",
    "aliases": "a: &a [lol, lol]\n"
    + "\n".join(f"{c}: &{c} [*{b}, *{b}]" for b, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "merge": "a: &a {b: 1}\nc:\n  <<: *a",
    "merge_without_an_alias": "<<: {b: 1}",
    "list_as_a_key": "? [a]\n: 1",
    "keys_of_two_kinds": "a: 1\n7: 2",
    "number_as_a_key": "a: {7: 2}",
    "10_000_digits": "a: " + "9" * 10_000,
    "depth": "a: " + "[" * 60_000,
    "depth_of_blocks": "- " * 30_000,
    "date": "a: 2026-01-01",
    "nan": "a: .nan",
    "inf": "a: .inf",
    "list": "- 1",
    "word": "a",
    "empty": "",
    "half": "a: [1,",
    "two": "a: 1\n---\na: 2",
    "not_text": b"a: \xff",
    "escape": "a: \x1b[31m",
    "half_a_character": 'a: "\\ud800"',
    "too_large": "a: " + "x" * store.SMALL,
}


@pytest.mark.parametrize(
    ("reader", "text"),
    [pytest.param(store.from_json, text, id=f"json-{name}") for name, text in HOSTILE_JSON.items()]
    + [pytest.param(store.from_yaml, text, id=f"yaml-{name}") for name, text in HOSTILE_YAML.items()],
)
def test_hostile_text_is_refused_quickly_by_name(reader, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, began = tmp_path / "file", perf_counter()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Corrupt, match=str(path)):
        reader(path)
    assert perf_counter() - began < 2
    assert list(tmp_path.iterdir()) == [path]


def test_settings_come_back_as_they_were(tmp_path):
    settings = {
        "b": {"deep": {"deeper": [1, 2.5, "3", True, None]}, "list": []},
        "a": "yes",
        "numbers": [1e-05, 0.1 + 0.2, 5e-324, 1e300, -0.0, 2**63],
        "words": ["null", "1e5", "0x1", "", " ", "a: b", "<<", "ü", "2026-01-01", "*x", "&y", "!z"],
    }
    for to_text, reader in ((store.to_yaml, store.from_yaml), (store.to_json, store.from_json)):
        (tmp_path / "file").write_text(to_text(settings), encoding="utf-8")
        assert str(reader(tmp_path / "file")) == str(settings) or reader(tmp_path / "file") == settings
    assert store.to_yaml({"lengths": (4, 8)}) == store.to_yaml({"lengths": [4, 8]})


PLAIN_YAML = """
numbers: [7, -7, +7, 007, 0x1F, 1_000, 1:30, 1.5, .5, 1.0e+3, 1e3, "7", '7', 0b11, 1.]
words: [a, "a", yes, "yes", No, on, TRUE, true, ~, null, Null, "", ---, -, "a: b", a b]
empty:
block: |
  two
  lines
folded: >
  two
  lines
"7": a key
twice: 1
twice: 2
? longer
: {flow: [a, {b: c}], bare}
sequence:
- - 1
  - x: 1
    y:
- []
"""


def test_plain_settings_mean_what_yaml_says_they_do(tmp_path):
    (tmp_path / "plain.yaml").write_text(PLAIN_YAML)
    files = [tmp_path / "plain.yaml", *groups.CONF.rglob("*.yaml")]
    assert len(files) > 40
    for path in files:
        assert repr(store.from_yaml(path)) == repr(yaml.safe_load(path.read_text(encoding="utf-8")))


COLUMNS = "split length steps examples stop accuracy first_error trace in_range seed parameters".split()


def row(**other):
    plain = {"split": "broad", "length": 8, "steps": 0, "examples": 9, "stop": "budget", "accuracy": 2 / 3}
    return plain | {"first_error": None, "trace": None, "in_range": True, "seed": 0, "parameters": None} | other


ROWS = [
    row(),
    row(length=16, accuracy=0.1 + 0.2, first_error=1.5, trace="extremes", in_range=False, parameters=2**53 + 1),
    row(length=32, accuracy=1.0, first_error=1.0, in_range=None, seed=2**63 - 1, examples=1),
    row(length=64, accuracy=5e-324, trace='a "quoted", name\nof two lines', examples=16),
    row(length=128, accuracy=1e-07, trace="True story", first_error=1e22, examples=2001),
    row(length=4, accuracy=-0.0, trace="-", stop="e5", examples=8),
]


def items(rows):
    dice = np.random.default_rng(3)
    return {store.item_key(row): dice.random(row["examples"]) < 0.6 for row in rows}


@pytest.fixture
def scored(tmp_path):
    store.save_scores(tmp_path, ROWS, COLUMNS, items(ROWS))
    return tmp_path


def test_scores_come_back_value_by_value(scored):
    rows, found = store.load_scores(scored)
    assert str(rows) == str(ROWS)  # every digit and every type
    assert list(found) == list(items(ROWS))
    for key, right in items(ROWS).items():
        assert found[key].dtype == bool
        assert found[key].tolist() == right.tolist()


def test_scores_that_are_read_and_written_again_are_the_same_bytes(scored, tmp_path):
    rows, found = store.load_scores(scored)
    store.save_scores(tmp_path / "again", rows, COLUMNS, found)
    for name in ("scores.csv", "items.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (scored / name).read_bytes()


def test_numbers_of_numpy_come_back_as_numbers(tmp_path):
    numpys = row(accuracy=np.float64(2) / 3, in_range=np.bool_(True), length=np.int64(8))
    store.save_scores(tmp_path, [numpys], COLUMNS, items([row()]))
    assert str(store.load_scores(tmp_path)[0]) == str([row()])


def test_without_a_file_there_are_no_scores(tmp_path):
    assert store.load_scores(tmp_path) == ([], {})


@pytest.mark.parametrize("column", ["split", "length", "steps", "examples", "stop"])
def test_rows_that_differ_in_a_key_are_told_apart(column):
    other = {"split": "boundary", "length": 80, "steps": 1, "examples": 90, "stop": "self"}
    assert store.item_key(row()) != store.item_key(row(**{column: other[column]}))


def test_how_many_steps_a_model_took_of_its_own_is_no_part_of_the_question(tmp_path):
    few, many = row(stop="self", steps=3.5, examples=8), row(stop="self", steps=3.25, examples=16)
    assert store.item_key(few) == store.item_key(few | {"steps": None})
    frame = store.read_run(filled(tmp_path, [few, many, row(), row(steps=1)]))
    assert frame["steps"].tolist() == [3.25, 0, 1]


@pytest.mark.parametrize("done", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_row_never_stands_there_without_its_items(first, tmp_path, done, monkeypatch):
    rows, write, made = [*ROWS, row(length=256)], store.disk.write, []
    before, scored = [] if first else ROWS, tmp_path
    if before:
        store.save_scores(scored, before, COLUMNS, items(before))

    def interrupted(path, data):
        if len(made) == done:
            raise Killed
        made.append(path)
        write(path, data)

    monkeypatch.setattr(store.disk, "write", interrupted)
    with pytest.raises(Killed):
        store.save_scores(scored, rows, COLUMNS, items(rows))
    assert str(store.load_scores(scored)[0]) == str(before)
    monkeypatch.undo()
    store.save_scores(scored, rows, COLUMNS, items(rows))
    assert str(store.load_scores(scored)[0]) == str(rows)


class Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def archive(**members):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


KEYS = {store.item_key(row): np.packbits(right) for row, right in zip(ROWS, items(ROWS).values(), strict=True)}
DAMAGED_ITEMS = {
    "empty": lambda folder: b"",
    "not_an_archive": lambda folder: b"PK\x03\x04" + bytes(99),
    "a_row_without_items": lambda folder: archive(**dict(list(KEYS.items())[1:])),
    "too_few_items": lambda folder: archive(**KEYS | {store.item_key(ROWS[0]): np.zeros(1, np.uint8)}),
    "pickled": lambda folder: archive(**KEYS | {store.item_key(ROWS[0]): np.array([Bomb(folder / "planted")], object)}),
    "bomb": lambda folder: archive(**KEYS, zeros=np.zeros(store.LARGE + 1, np.uint8)),
}


def vouch(folder):
    """A manifest for whatever stands there now."""
    files = {name: [store.disk.sha256((folder / name).read_bytes())] for name in ("scores.csv", "items.npz")}
    (folder / "manifest.json").write_text(store.to_json(files))


@pytest.mark.parametrize("damage", DAMAGED_ITEMS)
def test_damaged_items_are_refused_by_name(damage, scored):
    (scored / "items.npz").write_bytes(DAMAGED_ITEMS[damage](scored))
    vouch(scored)
    with pytest.raises(Corrupt, match=r"items\.npz"):
        store.load_scores(scored)
    assert not (scored / "planted").exists()


DAMAGED_SCORES = {
    "empty": "",
    "ragged": "split,length\nbroad,8,9\n",
    "short": "split,length\nbroad\n",
    "quote": 'split\n"broad\n',
    "infinite": "split,accuracy\nbroad,1e999\n",
    "long_field": "split\n" + "x" * 200_000,
    "too_large": "x" * (store.LARGE + 1),
    "not_text": b"split\n\xff\n",
}


@pytest.mark.parametrize("damage", DAMAGED_SCORES)
def test_damaged_scores_are_refused_by_name(damage, scored):
    text = DAMAGED_SCORES[damage]
    (scored / "scores.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    vouch(scored)
    with pytest.raises(Corrupt, match=r"scores\.csv"):
        store.load_scores(scored)


def test_every_flipped_bit_and_every_cut_of_scores_and_items_is_noticed(tmp_path):
    where = filled(tmp_path, ROWS)
    for name in ("scores.csv", "items.npz"):
        whole = (where / name).read_bytes()
        for at in range(0, len(whole), 11):
            for data in (whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :], whole[:at]):
                (where / name).write_bytes(data)
                for reader in (store.load_scores, store.read_run):
                    with pytest.raises(Corrupt, match=name):
                        reader(where)
        (where / name).write_bytes(whole)
    assert str(store.load_scores(where)[0]) == str(ROWS)


@pytest.mark.parametrize("name", ["scores.csv", "items.npz", "manifest.json"])
def test_no_row_is_written_over_damaged_ones(name, scored):
    whole = (scored / name).read_bytes()
    (scored / name).write_bytes(whole[:-9])
    with pytest.raises(Corrupt, match=name):
        store.save_scores(scored, [*ROWS, row(length=256)], COLUMNS, items([*ROWS, row(length=256)]))
    assert (scored / name).read_bytes() == whole[:-9]


def test_a_lost_manifest_or_lost_items_are_named(scored):
    for name in ("items.npz", "manifest.json"):
        (scored / name).unlink()
        with pytest.raises(Corrupt, match=f"{name} is missing"):
            store.load_scores(scored)


RECORD = {"run": "pairwise-softmax-none-0123abcd", "recipe": "89ab", "status": "RUNNING", "versions": {"task": 1}}


def filled(root, rows=(), **record):
    """A run folder."""
    (experiment,) = config.points(["task=pairwise"])
    where = store.run_folder(root, (RECORD | record)["run"])
    store.write(where / "config.yaml", store.to_yaml(experiment.settings()))
    store.write(where / "run.json", store.to_json(RECORD | record))
    if rows:
        store.save_scores(where, list(rows), COLUMNS, items(rows))
    return where


def test_a_run_without_scores_is_one_row_with_its_status(tmp_path):
    frame = store.read_run(filled(tmp_path, status="FAILED", reason="KeyError: 3"))
    assert len(frame) == 1
    (only,) = frame.to_dict("records")
    assert (only["status"], only["reason"], only["run"]) == ("FAILED", "KeyError: 3", RECORD["run"])
    assert (only["task"], only["attention"], only["scratchpad"], only["seed"]) == ("pairwise", "softmax", "none", 0)
    assert "accuracy" not in only


def test_settings_are_dotted_columns_of_every_row(tmp_path):
    frame = store.read_run(filled(tmp_path, ROWS))
    assert len(frame) == len(ROWS)
    assert set(frame["model.width"]) == {64}
    assert set(frame["train.lengths"]) == {(4, 8, 16, 32)}
    assert set(frame["version.task"]) == {1}
    assert frame["accuracy"].tolist() == [row["accuracy"] for row in ROWS]


def test_all_results_folders_are_read_as_one(tmp_path):
    filled(tmp_path / "mine", ROWS)
    filled(tmp_path / "yours", run="pairwise-softmax-none-89abcdef")
    (tmp_path / "mine" / "runs" / "a-folder-without-a-record").mkdir()
    frame = store.read([tmp_path / "mine", tmp_path / "yours", tmp_path / "nobody's"])
    assert frame["run"].value_counts().to_dict() == {RECORD["run"]: len(ROWS), "pairwise-softmax-none-89abcdef": 1}
    assert store.read([tmp_path / "nobody's"]).empty


SPOILT = {
    "config": lambda where: (where / "config.yaml").write_text("a: !!python/name:os.system"),
    "no_config": lambda where: (where / "config.yaml").write_text("seed: 0\n"),
    "long_config": lambda where: (where / "config.yaml").write_text("seed: 0\n" + "#" * store.SMALL),
    "steering_word": lambda where: added(where, 'x: "\\e[31m"\n'),
    "steering_word_of_a_list": lambda where: added(where, 'x: [1, "\\e[31m"]\n'),
    "record": lambda where: (where / "run.json").write_text("[]"),
    "newer": lambda where: store.write(where / "run.json", store.to_json(RECORD | {"format": 3})),
    "no_versions": lambda where: (where / "run.json").write_text('{"run": "a"}'),
    "versions": lambda where: (where / "run.json").write_text('{"run": "a", "versions": 3}'),
    "run_elsewhere": lambda where: (where / "run.json").write_text('{"run": "../../a", "versions": {}}'),
    "task_elsewhere": lambda where: rewritten(where, ",broad,", ",../../a,"),
    "markup": lambda where: rewritten(where, ",broad,", ",<script>,"),
    "another_run": lambda where: rewritten(where, RECORD["run"], "pairwise-softmax-none-89abcdef"),
    "scores": lambda where: (where / "scores.csv").write_text("split,length\nbroad,4\n"),
    "rows_without_items": lambda where: without_items(where),
    "too_many_rows": lambda where: rewritten(where, "\n", "\n" + "broad\n" * (store.scores.MOST + 1)),
}


TOLD = {"long_config": "larger than", "rows_without_items": "items.npz is missing"}
TOLD |= {"too_many_rows": "more than 20000 rows", "steering_word": "x=?[31m", "steering_word_of_a_list": "x=(1, "}


def added(where, text):
    """More lines of settings."""
    (where / "config.yaml").write_text((where / "config.yaml").read_text() + text)


def without_items(where):
    """A stranger's table whose manifest knows of no items."""
    rewritten(where, "", "")
    (where / "items.npz").unlink()
    listed = {"scores.csv": store.from_json(where / "manifest.json")["scores.csv"]}
    (where / "manifest.json").write_text(store.to_json(listed))


def rewritten(where, old, new):
    """A stranger's table, for which a manifest vouches."""
    columns = ["run", "task", *COLUMNS]
    store.save_scores(where, [{"run": RECORD["run"], "task": "broad"} | row()], columns, items([row()]))
    text = (where / "scores.csv").read_text()
    (where / "scores.csv").write_text(text.replace(old, new, 1))
    vouch(where)


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_run_folder_is_named_and_hides_no_other(what, tmp_path):
    where = filled(tmp_path)
    filled(tmp_path, ROWS, run="pairwise-softmax-none-89abcdef")
    SPOILT[what](where)
    with pytest.raises(Corrupt, match=str(where)):
        store.read_run(where)
    frame = store.read([tmp_path])
    assert frame["run"].value_counts().to_dict() == {where.name: 1, "pairwise-softmax-none-89abcdef": len(ROWS)}
    (spoilt,) = frame[frame["run"] == where.name].to_dict("records")
    assert spoilt["status"] == "CORRUPT"
    assert str(where) in spoilt["reason"]
    assert TOLD.get(what, "") in spoilt["reason"]


def holds_a_pickle(data):
    """Whether a pickle starts somewhere: numpy writes a header before it."""
    for start in (at for at, byte in enumerate(data) if byte == 0x80):
        try:
            list(pickletools.genops(data[start:]))
        except (ValueError, DeprecationWarning):
            continue
        return True
    return False


def contents(data):
    """A file, and what is in it if it is an archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return [data]
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        return [data, *map(members.read, members.namelist())]


def test_nothing_in_a_run_folder_is_a_pickle(tmp_path):
    where = filled(tmp_path, ROWS)
    store.save_checkpoint(where, 10, {"model.weight": torch.ones(3)}, {})
    parts = [part for path in where.rglob("*.*") for part in contents(path.read_bytes())]
    assert len(parts) == 9 + len(ROWS)
    assert not any(map(holds_a_pickle, parts))


def test_a_pickle_is_told_from_the_rest():
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, buffer)
    assert any(map(holds_a_pickle, contents(buffer.getvalue())))
    assert any(map(holds_a_pickle, contents(archive(objects=np.array([None], object)))))
