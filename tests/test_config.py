"""A command line becomes experiments, or is refused in one sentence before anything is created."""

import random
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from time import perf_counter

import pytest
import yaml
from omegaconf import OmegaConf

import tasks
from harness import config, groups, store
from harness.__main__ import VERBS, main
from harness.nearest import Refusal
from harness.sections import LAUNCHERS, Local, Slurm
from harness.settings import Experiment

ROOT = Path(__file__).parent.parent


def points(text):
    """The experiments of a line as it is typed."""
    words = text.split()
    return config.points([word for word in words if word != "-m"], sweep="-m" in words)


# every list is typed without blanks, so a line splits into words
LINES = [
    "task=pairwise",
    "task=pairwise attention=linear scratchpad=full scratchpad.trace=sort_scan seed=7",
    "task=pairwise scratchpad=full scratchpad.scale=0.5 scratchpad.power=1 evaluate.lengths=[4,6]",
    "task=pairwise scratchpad=filler task.alpha=3 task.values=8 model.width=12 model.heads=3 device=cuda",
    "task=pairwise train.learning_rate=1e-5 train.stop_at=2 train.lengths=[5] train.warmup=0 threads=2",
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_one_experiment_that_its_settings_and_its_yaml_give_back(line, tmp_path):
    (experiment,) = points(line)
    settings = experiment.settings()
    assert Experiment.of(settings) == experiment
    store.write(tmp_path / "config.yaml", store.to_yaml(settings))
    again = Experiment.of(store.from_yaml(tmp_path / "config.yaml"))
    assert again == experiment
    assert str(again) == str(experiment)  # 1 and 1.0 are equal but not the same text


def test_a_sweep_is_the_product_of_its_values():
    swept = points("-m task=pairwise attention=softmax,linear scratchpad=none,full seed=0,1")
    assert [(point.attention.name, point.scratchpad.name, point.seed) for point in swept] == [
        (attention, scratchpad, seed)
        for attention in ("softmax", "linear")
        for scratchpad in ("none", "full")
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("-m task=pairwise", 1),
        ("-m task=pairwise seed=0,1,0", 2),
        ("-m task=pairwise seed=range(0,5)", 5),
        ("-m task=pairwise scratchpad=none scratchpad.trace=extremes,running_extremes", 1),
        ("-m task=pairwise scratchpad=none,full scratchpad.trace=extremes,running_extremes", 3),
        ("-m task=pairwise scratchpad=full scratchpad.trace=null,running_extremes scratchpad.power=0,1", 1),
        ("-m task=pairwise launcher.jobs=1,2", 1),
        ('-m task="pairwise" attention="softmax",linear', 2),
        ("-m task=pairwise train.lengths=[4,8],[4]", 2),
    ],
)
def test_a_sweep_repeats_no_run(line, runs):
    assert len(points(line)) == len(set(points(line))) == runs


def leaves(settings, prefix=""):
    flat = {}
    for key, value in settings.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def composed(*words):
    return leaves(yaml.safe_load(config.printed(["task=pairwise", *words])))


OTHER = {
    "device": "cuda",
    "dtype": "bfloat16",
    "scratchpad.trace": "extremes",
    "scratchpad.content": "filler",
    "mask": "prefix",
}
OTHER |= {"train.objective": "sequence", "train.init_from": "pairwise-softmax-none-0123abcd", "evaluate.stop": "self"}
OTHER |= {
    "position.train": False,
    "train.dense": True,
    "evaluate.steps": [2],
    "evaluate.state_bits": [4],
    "evaluate.loops": [2],
    "model.halting": "ponder",
    "task.norm": "linf",
    "task.tokens": "coordinate",
}
OTHER |= {"launcher.jobs": 3, "task.distinct": True, "task.shots": 2, "task.dim": 2}
CONTEXT = {"evaluate.steps": ["scratchpad=full"], "task.dim": ["task.norm=linf"], "task.shots": ["task.alpha=prompt"]}
CONTEXT |= {"model.halting": ["model.loops=2"], "train.init_noise": ["train.init_from=witness"]}
CONTEXT |= {"train.lengths": ["evaluate.lengths=[4]"], "task.distinct": ["train.lengths=[4]", "evaluate.lengths=[4]"]}


def other(key, value):
    """Another value that the setting may have."""
    if key in OTHER:
        return OTHER[key]
    return value[:-1] if isinstance(value, list) else (2 * value or 1) if isinstance(value, int) else value / 2 or 0.5


@pytest.mark.parametrize("key", [key for key in composed() if not key.endswith(".name")])
def test_an_override_sets_its_setting_and_nothing_else(key):
    context = CONTEXT.get(key, [])
    before = composed(*context)
    text = f"{key}={str(other(key, before[key])).replace(' ', '')}"
    after = composed(*context, text)
    assert {name for name in before if after[name] != before[name]} == {key}
    assert after[key] == other(key, before[key])
    assert points(" ".join(["task=pairwise", *context, text]))


@pytest.mark.parametrize(
    ("line", "trained", "evaluated"),
    [
        ("task=pairwise", (4, 8, 16, 32), (4, 8, 16, 32, 64)),
        ("task=recall", (16, 32, 64, 128), (16, 32, 64, 128, 256)),
        ("task=recall task.pairs=200", (800,), (800,)),
        ("task=pairwise train.lengths=[4,6]", (4, 6), (4, 6, 12)),
        ("task=pairwise evaluate.lengths=[5]", (4, 8, 16, 32), (5,)),
    ],
)
def test_lengths_follow_from_the_task_unless_they_are_given(line, trained, evaluated):
    (point,) = points(f"{line} model.context=3000")
    assert (point.train.lengths, point.evaluate.lengths) == (trained, evaluated)


def test_every_default_is_written_once_and_reached():
    written = OmegaConf.to_container(OmegaConf.load(groups.CONF / "config.yaml"))
    del written["defaults"]
    reached = composed()
    resolved = {"train.lengths": [4, 8, 16, 32], "evaluate.lengths": [4, 8, 16, 32, 64]}
    assert leaves(written) | resolved == {key: reached[key] for key in leaves(written)}
    assert set(written) == {*config.SECTIONS, *config.PLAIN}
    classes = [*config.SECTIONS.values(), *filter(None, config.GROUPS.values()), *LAUNCHERS.values(), Experiment]
    assert [f.name for cls in classes for f in fields(cls) if f.default is not MISSING] == []


# The last word of a line is what is wrong with it. The sentence names it and says what is allowed.
REFUSED = {
    "task=pairwse": "did you mean pairwise?",
    "task=": f"There is: {tasks.names()[0]}",
    "task=../pairwise": "did you mean pairwise?",
    "task=pairwise modle.width=3": "did you mean model.width?",
    "task=pairwise task.alhpa=3": "did you mean task.alpha? There is: task.alpha, task.values",
    "task=pairwise trian.lengths=[4]": "did you mean train.lengths?",
    "task=pairwise sede=1": "did you mean seed?",
    "task=pairwise model={width:64}": "set part by part: model.layers, model.width",
    "task=pairwise model.width=-3": "1 to 100000 are possible",
    "task=pairwise model.width=65": "model.heads=4 must divide it",
    "task=pairwise model.width=64.0": "an integer is needed",
    "task=pairwise model.width=null": "an integer is needed",
    "task=pairwise model.heads=3": "must divide it",
    "task=pairwise model.context=20": "the longest sequence of train.lengths takes 36 tokens",
    "task=pairwise model.token_std=-1": "0 or more is needed",
    "task=pairwise attention=[softmax,linear]": "-m attention=softmax,linear compares them",
    "task=pairwise attention=softmx": "did you mean softmax? There is: ",
    "task=pairwise attention.name=linear": "chosen by attention=NAME, one of ",
    "task=pairwise attention.window=3": "There is: task, attention",
    "task=pairwise +task.alpha=5": "only set: task.alpha=VALUE",
    "task=pairwise ++task.alpha=5": "only set: task.alpha=VALUE",
    "task=pairwise ~seed": "only set: seed=VALUE",
    "task=pairwise seed@model=3": "only set: seed=VALUE",
    "task=pairwise task.alpha=64": "2 to 63 are possible",
    "task=pairwise task.alpha=abc": "an integer is needed",
    "task=pairwise task.alpha=1.5": "an integer is needed",
    "task=pairwise task.alpha=${oc.env:HOME}": "written out, not looked up",
    "task=pairwise task.values=2": "at least 3 values",
    "task=pairwise scratchpad=ful": "did you mean full? There is: budget, filler, full, none",
    "task=pairwise scratchpad=full scratchpad.trace=runing_extremes": "did you mean running_extremes?",
    "task=pairwise scratchpad.trace=runing_extremes": "did you mean running_extremes?",
    "task=pairwise scratchpad=full scratchpad.scale=9": "9 steps at length 4, but running_extremes has 4 there",
    "task=pairwise scratchpad=filler scratchpad.scale=null": "filler needs a number",
    "task=pairwise scratchpad=filler scratchpad.power=4 scratchpad.scale=1e+308": "0 to a million",
    "task=pairwise scratchpad.content=fill": "trace and filler exist",
    "task=pairwise scratchpad.power=nan": "0 to 4 are possible",
    "task=pairwise train.lengths=[]": "at least one length is needed",
    "task=pairwise train.lengths=4": "a list like [4,8,16] is needed",
    "task=pairwise train.lengths=[4,eight]": "a list like [4,8,16] is needed",
    "task=pairwise train.lengths=[[4]]": "a list like [4,8,16] is needed",
    "task=pairwise train.lengths=[1]": "pairwise has lengths 2 to 1024",
    "task=pairwise train.lengths=[4,4]": "each length once",
    "task=pairwise train.mix=2": "a share, 0 to 1",
    "task=pairwise train.mix=nan": "a share, 0 to 1",
    "task=pairwise train.learning_rate=nan": "a finite number above 0 is needed",
    "task=pairwise train.learning_rate=fast": "a number is needed",
    "task=pairwise train.warmup=-1": "0 or more is needed",
    "task=pairwise model.context=10000000000": "1 to 10000000 are possible",
    "task=pairwise train.updates=0": "1 or more is needed",
    "task=pairwise train.stop_at=0": "above 0",
    "task=pairwise evaluate.splits=[boundry]": "did you mean boundary? There is: boundary, broad, natural",
    "task=pairwise evaluate.splits=[]": "at least one split is needed",
    "task=pairwise evaluate.splits=broad": "a list like [boundary,broad,natural] is needed",
    "task=pairwise evaluate.examples=1": "an even number is needed",
    "task=pairwise evaluate.lengths=[2000]": "pairwise has lengths 2 to 1024",
    "task=pairwise position=rope": "There is: alibi, learned, none, ",
    "task=pairwise position=rotary position.std=1": "There is: position.base",
    "task=pairwise position.std=small": "a number is needed",
    "task=pairwise position.train=0": "true or false is needed",
    "task=pairwise mask=casual": "did you mean causal? There is: causal, prefix, encoder",
    "task=pairwise train.objective=sequnce": "did you mean sequence? There is: answer, sequence",
    "task=pairwise mask=prefix train.objective=sequence": "see each other and cannot be predicted",
    "task=recall train.lengths=[16] evaluate.lengths=[16] train.dense=true": "recall has no answer so far to supervise",
    "task=recall train.lengths=[16] evaluate.lengths=[16] scratchpad=full": "the task has no trace",
    "task=recall train.lengths=[16] evaluate.lengths=[16] scratchpad=filler": "answers are said inside the prompt",
    "task=recall train.lengths=[16] evaluate.lengths=[16] evaluate.stop=self": "answers are said inside the prompt",
    "task=recall evaluate.lengths=[16] train.lengths=[8]": "recall has lengths 16 to",
    "task=parity train.objective=sequence train.dense=true": "train.objective=sequence has the next token",
    "task=parity mask=prefix train.dense=true": "with mask=prefix an item has seen those after it",
    "task=pairwise task.norm=linf task.tokens=coordinate task.dim=100000000": "1 to 1024 are possible",
    "task=pairwise task.alpha=prompt task.shots=1000000": "2 to 64",
    "task=pairwise task.tokens=coordinate task.values=1000000000000000000000": "at most 1048576",
    "task=recall task.symbols=1000000000": "at most 1048576",
    "task=pairwise scratchpad=full evaluate.steps=4": "a list like [4,8,16] is needed",
    "task=pairwise evaluate.stop=budgt": "did you mean budget? There is: budget, self",
    "task=pairwise scratchpad=filler evaluate.stop=self": "filler is given",
    "task=pairwise evaluate.steps=[2]": "scratchpad=none writes no steps of its own",
    "task=pairwise scratchpad=full evaluate.stop=self evaluate.steps=[2]": "only evaluate.stop=budget forces a stop",
    "task=pairwise scratchpad=full evaluate.steps=[2,2]": "each number of steps once",
    "task=pairwise scratchpad=full evaluate.steps=[17]": "at most 16 at length 4",
    "task=pairwise scratchpad=full evaluate.steps=[-1]": "0 or more are possible",
    "task=pairwise launcher=slrum": "did you mean slurm? There is: local, slurm",
    "task=pairwise launcher.partition=urgent": "There is: launcher.jobs",
    "task=pairwise launcher=slurm launcher.jobs=null": "an integer is needed",
    "task=pairwise launcher.jobs=two": "an integer is needed",
    "task=pairwise device=tpu": "cpu",
    "task=pairwise dtype=float16": "bfloat16",
    "task=pairwise threads=0": "1 or more is needed",
    "task=pairwise seed=-1": "0 to 2^63 - 1 are possible",
    "task=pairwise seed=9223372036854775808": "0 to 2^63 - 1 are possible",
    "task=pairwise seed=true": "an integer is needed",
    "task=pairwise seed=0,1": "put -m before them",
    "task=pairwise seed=range(0,3)": "put -m before them",
    "-m task=pairwise seed=range(3,0)": "a sweep lists its values",
    "-m task=pairwise seed=range(0,3,0)": "a sweep lists its values",
    "-m task=pairwise seed=interval(0,1)": "a sweep lists its values",
    "-m task=pairwise attention=glob(*)": "a sweep lists its values",
    "-m task=pairwise attention=softmax,linaer": "did you mean linear?",
    "-m task=pairwise model.width=64,65": "model.heads=4 must divide it",
    "task=pairwise hydra.run.dir=x": "There is: task, attention",
    "task=pairwise hydra/launcher=basic": "There is: task, attention",
    "task=pairwise defaults=[]": "There is: task, attention",
    "task=pairwise foo": "a setting is written key=value",
    "task=pairwise seed=[": "a setting is written key=value",
    "task=pairwise seed==1": "a setting is written key=value",
    "attention=linear": f"task=NAME is missing: {', '.join(tasks.names())} can be chosen",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_refused_in_a_sentence_that_helps(line):
    with pytest.raises(Refusal) as refusal:
        points(line)
    sentence, (key, _, value) = str(refusal.value), line.split()[-1].lstrip("+~").partition("=")
    assert REFUSED[line] in sentence
    assert sentence.count("\n") == 0
    if "missing" not in sentence:
        unknown_key = sentence.startswith(f"setting {key} does not exist")
        assert key in sentence
        assert unknown_key or value.strip("[]").split(",")[-1] in sentence


def test_a_launcher_is_checked_and_not_swept():
    assert config.launcher(["task=pairwise", "launcher.jobs=3"]) == Local(3)
    line = ["task=pairwise", "launcher=slurm", "launcher.sbatch=[account:me,qos:long]"]
    assert config.launcher(line) == Slurm(64, None, 60, 4, 0, ("account:me", "qos:long"))
    assert set(groups.choices("launcher")) == set(LAUNCHERS)
    with pytest.raises(Refusal, match=r"launcher\.jobs=0: 1 or more"):
        config.launcher(["task=pairwise", "launcher.jobs=0"])
    for wrong in ("jobs=0", "minutes=0", "memory=0", "gpus=-1", "sbatch=[account]"):
        with pytest.raises(Refusal, match=rf"launcher\.{wrong.split('=')[0]}="):
            config.launcher(["task=pairwise", "launcher=slurm", f"launcher.{wrong}"])
    with pytest.raises(Refusal, match="one launcher"):
        config.launcher(["task=pairwise", "launcher.jobs=1,2"], sweep=True)


def test_a_sentence_is_one_line_whatever_was_given():
    with pytest.raises(Refusal) as refusal:
        config.points(["task=pairwise", 'device="t\np\r\nu"'])
    assert str(refusal.value) == "device=t p u does not exist. There is: auto, cpu, cuda"


def mutations(lines, count):
    """Lines with one character of one word dropped, doubled or replaced; the same ones always."""
    dice = random.Random(0)
    for _ in range(count):
        words = dice.choice(lines).split()
        spot = dice.randrange(len(words))
        word = words[spot]
        at = dice.randrange(len(word))
        new = dice.choice(
            ["", 2 * word[at], dice.choice("=.,:;[]{}()'\"~+-@$\\/%#*! \t\n0159aexnN_é"), dice.choice(word)]
        )
        words[spot] = word[:at] + new + word[at + 1 :]
        yield words


def outcome(words):
    try:
        found = config.points([word for word in words if word != "-m"], sweep="-m" in words)
    except Refusal as refusal:
        return "refused" if "\n" not in str(refusal) else f"more than one line: {refusal}"
    return "experiments" if found and all(isinstance(point, Experiment) for point in found) else f"{found}"


MISTYPED = [*LINES, "-m task=pairwise attention=softmax,linear seed=range(0,3) train.batch=8,16"]


def test_a_mistyped_line_is_an_experiment_or_a_refusal():
    outcomes = {" ".join(words): outcome(words) for words in mutations(MISTYPED, 200)}
    assert set(outcomes.values()) == {"experiments", "refused"}, outcomes
    assert list(outcomes.values()).count("refused") > 100


def well_refused(words, capsys):
    began = perf_counter()
    code, said = main(words), capsys.readouterr()
    one = said.err.count("\n") == 1 and "Traceback" not in said.err
    return code == 2 and one and perf_counter() - began < 2


@pytest.mark.torture
def test_a_config_that_passes_over_unknown_settings_is_the_broken_twin(promise, monkeypatch, capsys):
    known = config._known

    class Anything(dict):
        def __contains__(self, key):
            return True

    monkeypatch.setattr(config, "_known", lambda groups: Anything(known(groups)))
    promise(9, twins=1, caught=int(not well_refused(["task=pairwise", "modle.width=3", "--cfg"], capsys)))


@pytest.mark.torture
def test_three_hundred_mistyped_lines_are_refused_and_nothing_is_created(times, promise, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = {" ".join(words): words for words in mutations(MISTYPED, 10 * times(300))}
    refused = [words for words in lines.values() if outcome(words) == "refused"][: times(300)]
    survived = sum(well_refused(words, capsys) and not any(tmp_path.iterdir()) for words in refused)
    assert len(refused) == times(300)
    promise(9, len(refused), survived)


# Whole command lines, in a folder without results.
REFUSED_WORDS = {
    "plto": "verb plto does not exist, did you mean plot?",
    "foo task=pairwise": "verb foo does not exist",
    "list tsks": "list tsks does not exist, did you mean tasks?",
    "show length=3 nosuchrun": "run nosuchrun does not exist. There is: ",
    "show task=pairwise": "length=None: show needs one length",
    "show task=pairwise length=three": "length=three: show needs one length",
    "show task=pairwise length=²": "length=²: show needs one length",
    "show length=6": "task=NAME or a run is needed",
    "show task=pairwise length=6 split=broad": "show RUN takes split=",
    "check attention=window attention.window=0": "attention.window=0: 1 or more is needed",
    "show task=pairwise length=2000": "length=2000: 2 to 1024 are possible",
    "compare --by atention": "there is no run in results/runs",
    "plot --where task=pairwse": "there is no run in results/runs",
    "compare --bye attention": "option --bye does not exist, did you mean --by?",
    "task=pairwise --reslts x": "option --reslts does not exist, did you mean --results?",
    "task=pairwise --results": "expected one argument",
    "-m attention=linear": "task=NAME is missing",
    "task=pairwise launcher.jobs=0": "launcher.jobs=0: 1 or more is needed",
}


def refused(words, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("harness: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("line", REFUSED_WORDS)
def test_the_command_line_refuses_and_creates_nothing(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert REFUSED_WORDS[line] in refused(line.split(), capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def a_run(tmp_path):
    """A results folder with a run in it that was never trained."""
    (experiment,) = points("task=pairwise")
    where = store.run_folder(tmp_path, "pairwise-softmax-none-0123abcd")
    store.write(where / "config.yaml", store.to_yaml(experiment.settings()))
    record = {"run": where.name, "recipe": "89ab", "status": "FAILED", "reason": "", "versions": {"task": 1}}
    store.write(where / "run.json", store.to_json(record))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("compare --by atention", "column atention does not exist, did you mean attention?"),
        ("compare --where tsk=pairwise", "column tsk does not exist, did you mean task?"),
        ("compare --where task=pairwse", "task=pairwse does not exist, did you mean pairwise?"),
        ("plot --where scratchpad=ful", "scratchpad=ful does not exist"),
        ("plot", "nothing to draw"),
        ("show length=3 pairwise-softmax-none-0123abce", "did you mean pairwise-softmax-none-0123abcd?"),
    ],
)
def test_a_results_folder_is_left_as_it_was(line, sentence, capsys, a_run):
    before = sorted(a_run.rglob("*"))
    assert sentence in refused([*line.split(), "--results", str(a_run)], capsys)
    assert sorted(a_run.rglob("*")) == before


def harness(*words):
    """A real process: what it said and the seconds it took."""
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done, perf_counter() - began


PROCESSES = [
    "task=pairwse",
    "attention=linear",
    "task=pairwise modle.width=3",
    "task=pairwise model.width=65",
    "task=pairwise model.context=20",
    "task=pairwise attention=[softmax,linear]",
    "task=pairwise ++task.alpha=5",
    "task=pairwise ~seed",
    "task=pairwise task.alpha=64",
    "task=pairwise task.alpha=abc",
    "task=pairwise scratchpad=full scratchpad.trace=runing_extremes",
    "task=pairwise scratchpad=full scratchpad.scale=9",
    "task=pairwise train.lengths=[]",
    "task=pairwise train.lengths=4",
    "task=pairwise train.learning_rate=nan",
    "task=pairwise launcher.jobs=0",
    "task=pairwise seed=0,1",
    "task=pairwise hydra.run.dir=x",
    "task=pairwise foo",
    "task=pairwise --reslts x",
    "plto",
    "show length=3 nosuchrun",
    "compare --by atention",
]


@pytest.mark.parametrize("line", PROCESSES)
def test_a_process_refuses_within_two_seconds(line, tmp_path):
    quickest = float("inf")
    for _ in range(3):  # the machine may be busy with something else
        done, seconds = harness(*line.split(), "--results", str(tmp_path / "results"))
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("harness: ")
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "results").exists()
        quickest = min(quickest, seconds)
        if quickest < 2:
            return
    pytest.fail(f"took {quickest:.1f} s")


def test_a_list_that_does_not_exist_is_refused_by_a_process():
    done, _ = harness("list", "tsks")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("code", ["import harness.config", "import harness.settings", "import harness.store"])
def test_settings_do_not_wait_for_torch(code):
    subprocess.run([sys.executable, "-c", f"{code}, sys; assert 'torch' not in sys.modules"], cwd=ROOT, check=True)


@pytest.mark.parametrize("words", [("--help",), *((verb, "--help") for verb in VERBS), ("list", "tasks")], ids=" ".join)
def test_help_comes_at_once(words):
    quickest = float("inf")
    for _ in range(3):
        done, seconds = harness(*words)
        assert done.returncode == 0
        assert done.stderr == ""
        quickest = min(quickest, seconds)
        if quickest < 1:
            return
    pytest.fail(f"took {quickest:.1f} s")


def test_help_and_the_list_of_tasks_import_nothing_heavy():
    call = [sys.executable, "-X", "importtime", "-m", "harness"]
    for words in (["--help"], ["list", "tasks"]):
        done = subprocess.run([*call, *words], cwd=ROOT, capture_output=True, text=True, check=True)
        imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        assert "harness.nearest" in imported
        assert not {"torch", "pandas", "scipy", "matplotlib"} & imported
