"""The walls of the house, read from its imports and calls. Every wall is held against a planted breach."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for package in ("harness", "tasks")
    for path in sorted((ROOT / package).rglob("*.py"))
}
FLOORS = [  # a room uses rooms on the floors below it
    "__main__",
    "verbs",
    "conduct judge",
    "launch show inside check bench",
    "experiment validity",
    "constructed",
    "training rows identity pages theory status",
    "train evaluate store",
    "report cost squeeze",
    "model draw catalogue baselines",
    "study",
    "config sequence",
    "settings groups",
    "sections",
    "scratchpad attention",
    "seeding nearest signals examples memory",
]
LIGHT = "__main__ catalogue config examples groups nearest pages scratchpad".split()  # rooms without torch
LIGHT += "sections seeding settings status store study report verbs".split()


def nodes(source, kind):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kind)]


def imported(path, source, at_start=False):
    """The dotted names that a file imports, ``at_start`` those that importing the file itself needs."""
    statements = ast.parse(source).body if at_start else nodes(source, ast.stmt)
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = ".".join(Path(path).parts[: -node.level]) + "." if node.level else ""
            yield from (f"{here}{node.module or ''}.{name.name}".replace("..", ".") for name in node.names)


def within(name, *rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def dotted(node):
    """``np.random.seed`` as the source spells it; a call or an index in between is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(source):
    """(name as spelled, its last part, positional arguments, named arguments) of every call."""
    for node in nodes(source, ast.Call):
        name = dotted(node.func)
        yield name, name.split(".")[-1], node.args, {word.arg: ast.unparse(word.value) for word in node.keywords}


def room(path_or_name):
    """``harness/report/style.py`` and ``harness.report.style.render`` belong to the room ``report``."""
    parts = path_or_name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 else ""


def floor(name):
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms.split())


def tasks_are_mathematics(path, source):
    if path.startswith("tasks/"):
        yield from (
            name for name in imported(path, source) if not within(name, "numpy", "tasks", *sys.stdlib_module_names)
        )


def arrows_point_down(path, source):
    if room(path) not in ("", "__init__"):
        for name in imported(path, source):
            if room(name) not in ("", room(path)) and floor(room(name)) <= floor(room(path)):
                yield name


def hydra_lives_in_config(path, source):
    if path != "harness/config.py":
        yield from (name for name in imported(path, source) if within(name, "hydra", "omegaconf"))


def report_knows_rows_alone(path, source):
    if room(path) == "report":
        house = "harness.report", "harness.catalogue", "harness.nearest", "tasks.base"
        for name in imported(path, source):
            if within(name, "torch", "hydra", "harness", "tasks") and not within(name, *house):
                yield name


def attention_knows_itself_alone(path, source):
    if room(path) == "attention":
        yield from (n for n in imported(path, source) if within(n, "harness") and not within(n, "harness.attention"))


def theory_trains_nothing(path, source):
    if room(path) == "theory":
        trainers = [f"harness.{name}" for name in "train training rows experiment launch store conduct".split()]
        yield from (n for n in imported(path, source) if within(n, *trainers, "torch.optim"))


def settings_know_no_torch(path, source):
    if room(path) in ("sections", "settings", "config", "scratchpad", "seeding", "nearest"):
        yield from (name for name in imported(path, source) if within(name, "torch"))


WRITES = "write_text write_bytes mkdir makedirs touch unlink rmdir rename hardlink_to symlink_to mkstemp".split()
WRITES += "save savez savez_compressed savetxt save_file tofile to_parquet to_pickle to_json to_excel".split()


def only_the_store_writes(path, source):
    if path == "harness/store/disk.py":
        return
    yield from (name for name in imported(path, source) if within(name, "shutil", "tempfile"))
    for name, last, positional, named in calls(source):
        modes = [ast.unparse(argument) for argument in positional] + list(named.values())
        opens = last == "open" and any(set(mode.strip("'\"")) & set("wax+") for mode in modes if len(mode) <= 5)
        buffered = last in ("savefig", "savez") and ast.unparse(positional[0]) == "buffer"
        buffered |= name == "save" and "safetensors.torch.save" in imported(path, source)
        text = last == "to_csv" and not (positional or "path_or_buf" in named)
        ours = name in ("store.to_csv", "store.to_json", "to_csv", "to_json") or name.startswith("disk.")
        if opens or (last in ("savefig", "to_csv", *WRITES) and not (buffered or text or ours)):
            yield name


STORED_CODE = "pickle cPickle cloudpickle dill joblib shelve marshal torch.load hydra.utils.instantiate".split()
STORED_CODE += "yaml.load yaml.full_load yaml.unsafe_load pandas.read_pickle pd.read_pickle".split()


def nothing_stored_is_run(path, source):
    yield from (name for name in imported(path, source) if within(name, *STORED_CODE))
    for name, last, _, named in calls(source):
        loads = name in ("np.load", "numpy.load") and named.get("allow_pickle") != "False"
        if loads or name in ("eval", "exec", "compile", "__import__", *STORED_CODE) or last == "instantiate":
            yield name
        if named.get("shell") == "True":
            yield f"{name}(shell=True)"


def a_file_can_be_seen_whole(path, source):
    if source.count("\n") > 320:
        yield f"{source.count(chr(10))} lines"


def files_and_classes_are_nouns(path, source):
    if Path(path).stem in ("utils", "util", "helpers", "misc", "common"):
        yield path
    names = (node.name for node in nodes(source, ast.ClassDef))
    yield from (name for name in names if name.endswith(("Manager", "Helper", "Wrapper", "Handler")))


def no_argument_is_swallowed(path, source):
    for node in nodes(source, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        name = getattr(node, "name", "lambda")
        if node.args.kwarg and (node.args.kwarg.arg == "kwargs" or not name.startswith("_") or name.startswith("__")):
            yield f"{name}(**{node.args.kwarg.arg})"


def no_error_is_swallowed(path, source):
    for node in nodes(source, ast.ExceptHandler):
        if node.type is None or all(isinstance(part, ast.Pass) for part in node.body):
            yield ast.unparse(node)
    yield from (name for name, last, _, _ in calls(source) if last == "suppress")


SPECIMENS = {
    tasks_are_mathematics: [
        ("tasks/parity.py", "import torch"),
        ("tasks/parity.py", "from harness.seeding import rng"),
        ("tasks/check.py", "def law():\n    import pandas as pd"),
    ],
    arrows_point_down: [
        ("harness/train.py", "from harness.evaluate import evaluate"),
        ("harness/train.py", "from harness import store"),
        ("harness/train.py", "def fit():\n    from harness.experiment import run"),
        ("harness/evaluate.py", "import harness.train"),
        ("harness/evaluate.py", "from . import store"),
        ("harness/evaluate.py", "from .experiment import weights"),
        ("harness/settings.py", "from harness import config"),
        ("harness/report/page.py", "from ..store import read"),
    ],
    hydra_lives_in_config: [
        ("harness/experiment.py", "import hydra"),
        ("harness/attention/base.py", "from omegaconf import OmegaConf"),
        ("harness/__main__.py", "from hydra.utils import get_original_cwd"),
    ],
    report_knows_rows_alone: [
        ("harness/report/page.py", "import torch"),
        ("harness/report/page.py", "from harness.settings import Experiment"),
        ("harness/report/page.py", "from tasks.pairwise import Pairwise"),
    ],
    attention_knows_itself_alone: [
        ("harness/attention/window.py", "from harness.seeding import rng"),
        ("harness/attention/window.py", "from ..seeding import rng"),
    ],
    theory_trains_nothing: [
        ("harness/theory/rank.py", "from harness.train import fit"),
        ("harness/theory/rank.py", "from ..experiment import trained"),
        ("harness/theory/witness.py", "def rows():\n    from torch.optim import AdamW"),
    ],
    settings_know_no_torch: [
        ("harness/settings.py", "import torch"),
        ("harness/config.py", "def device():\n    from torch import cuda"),
        ("harness/nearest.py", "import torch.nn.functional as F"),
    ],
    only_the_store_writes: [
        ("harness/experiment.py", "open(path, 'w')"),
        ("harness/store/claims.py", "(folder / 'claim').mkdir()"),
        ("harness/store/checkpoints.py", "import shutil"),
        ("harness/store/checkpoints.py", "from torch import save\nsave(tensors, path)"),
        ("harness/store/checkpoints.py", "from safetensors.torch import save_file\nsave_file(tensors, path)"),
        ("harness/store/scores.py", "np.savez(path, **items)"),
        ("harness/experiment.py", "with path.open(mode='ab') as file: file"),
        ("harness/experiment.py", "(where / 'run.json').write_text('{}')"),
        ("harness/experiment.py", "where.mkdir(parents=True)"),
        ("harness/experiment.py", "torch.save(model.state_dict(), path)"),
        ("harness/draw.py", "np.savez(path, prompt=prompt)"),
        ("harness/launch/local.py", "import shutil"),
        ("harness/report/style.py", "figure.savefig(path)"),
        ("harness/report/compare.py", "table.to_csv(path)"),
        ("harness/report/compare.py", "table.to_csv(path_or_buf=path, index=False)"),
        ("tasks/pairwise.py", "Path('cache').write_bytes(b'')"),
    ],
    nothing_stored_is_run: [
        ("harness/store/text.py", "import pickle"),
        ("harness/store/text.py", "from joblib import load"),
        ("harness/store/text.py", "torch.load(path)"),
        ("harness/store/text.py", "from torch import load"),
        ("harness/store/text.py", "np.load(path)"),
        ("harness/store/text.py", "np.load(path, allow_pickle=True)"),
        ("harness/store/text.py", "yaml.load(text, yaml.Loader)"),
        ("harness/config.py", "eval(text)"),
        ("harness/config.py", "exec(text, scope)"),
        ("harness/config.py", "hydra.utils.instantiate(config)"),
        ("harness/experiment.py", "subprocess.run(line, shell=True)"),
    ],
    a_file_can_be_seen_whole: [("harness/store/text.py", "\n" * 321)],
    files_and_classes_are_nouns: [
        ("harness/utils.py", ""),
        ("harness/report/helpers.py", ""),
        ("harness/store/text.py", "class RunManager: ..."),
        ("harness/model/gpt.py", "class AttentionWrapper(nn.Module): ..."),
    ],
    no_argument_is_swallowed: [
        ("harness/model/gpt.py", "def build(width, **kwargs): ..."),
        ("harness/model/gpt.py", "class A:\n    def __init__(self, **settings): ..."),
        ("harness/model/gpt.py", "def _build(**kwargs): ..."),
    ],
    no_error_is_swallowed: [
        ("harness/store/text.py", "try: read()\nexcept: raise"),
        ("harness/store/text.py", "try: read()\nexcept OSError: pass"),
        ("harness/store/text.py", "with contextlib.suppress(OSError): read()"),
    ],
}
WALLS = list(SPECIMENS)


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.__name__)
def test_the_wall_stands(wall):
    breaches = [f"{path}: {breach}" for path, source in FILES.items() for breach in wall(path, source)]
    assert breaches == []


@pytest.mark.parametrize(
    ("wall", "path", "source"),
    [pytest.param(wall, *case, id=f"{wall.__name__}-{case[1][:40]!r}") for wall in WALLS for case in SPECIMENS[wall]],
)
def test_a_breach_is_seen(wall, path, source):
    assert list(wall(path, source))


def heavy(files, path):
    """Whether importing this file imports torch, by way of whatever."""
    waiting, seen = [path], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for name in imported(path, files[path], at_start=True):
            if within(name, "torch", "safetensors.torch", "transformers"):
                return True
            parts = name.split(".")
            stems = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            found = {f"{stem}{end}" for stem in stems for end in (".py", "/__init__.py")} & files.keys()
            waiting += found - seen
    return False


LIGHT_FILES = [path for path in FILES if path.startswith("tasks/") or room(path) in LIGHT]


@pytest.mark.parametrize("path", LIGHT_FILES)
def test_what_answers_at_once_imports_no_torch(path):
    assert not heavy(FILES, path)


def test_torch_is_seen_behind_other_files():
    assert heavy(FILES, "harness/experiment.py")
    assert heavy(FILES, "harness/launch/alone.py")
    assert heavy(FILES | {"harness/nearest.py": "from torch import nn"}, "harness/report/figures/maps.py")
    assert heavy(FILES | {"tasks/__init__.py": "import torch"}, "harness/settings.py")


def test_every_room_has_a_floor():
    rooms = {room(path) for path in FILES} - {"", "__init__"}
    assert rooms == {name for rooms in FLOORS for name in rooms.split()}


def test_the_whole_house_is_looked_at():
    some = {"harness/__main__.py", "harness/report/figures/maps.py", "harness/attention/softmax.py", "tasks/base.py"}
    assert some <= set(FILES)
