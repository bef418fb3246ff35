"""More than one machine: a real SLURM with two nodes, started here as root; and two hosts that share a folder.

``pytest -m slurm`` runs a short form, ``pytest -m torture`` 40 points with and without SLURM's accounting.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import store
from tests.test_resume import MIDDLING, outcome

HERE = Path(__file__).parent
NEEDED = {"": ("slurmctld", "slurmd", "munged", "unshare"), "accounting": ("slurmdbd", "mariadbd")}
POINT = [*MIDDLING, "train.validate_every=100", "evaluate.examples=200"]
pytestmark = [pytest.mark.slurm, pytest.mark.torture, pytest.mark.timeout(1800)]


def needs(*names):
    """Skip, saying why, where a cluster cannot be started."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no cluster can be started: there is no {', '.join(missing)} (slurm-wlm and munge bring them)")
    if os.geteuid() != 0:
        pytest.skip("no cluster can be started: that takes root")


@pytest.fixture(scope="module", params=["", "accounting"], ids=["no accounting", "accounting"])
def cluster(request, tmp_path_factory):
    """The folder of a SLURM that runs, its commands looking there."""
    if request.param and request.config.option.markexpr != "torture":
        pytest.skip("accounting changes nothing that the short form tries: -m torture runs both")
    pytest.importorskip("submitit")
    needs(*NEEDED[""], *NEEDED[request.param])
    folder = tmp_path_factory.mktemp("slurm")
    for parent in folder.parents[:3]:  # munge looks through them
        parent.chmod(parent.stat().st_mode | 0o055)
    environment = os.environ | {"ACCOUNTING": request.param}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            subprocess.run([HERE / "cluster.sh", "start", folder], env=environment, check=True, timeout=180)
            yield folder
        finally:
            subprocess.run([HERE / "cluster.sh", "stop", folder], check=True, timeout=120)


@pytest.fixture(scope="module")
def points(times):
    """How many: 40, or as few as show everything."""
    return max(8, times(40))


@pytest.fixture(scope="module")
def local(points, tmp_path_factory):
    """name of a run -> what came of it with launcher=local, undisturbed."""
    root = tmp_path_factory.mktemp("local")
    done = subprocess.run(line(points, root), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return outcomes(root)


def line(points, root, *more):
    return [
        *(sys.executable, "-W", "ignore", "-m", "harness", "-m", *POINT, f"seed=range(0,{points})"),
        *("train.updates=1000", *more, "--results", str(root)),
    ]


def outcomes(root):
    return {folder.name: outcome(folder) for folder in store.runs(root)}


def differ(root, local):
    """The runs that have otherwise than ``launcher=local``; a note of what befell a run is no difference."""
    ours = outcomes(root)
    return [name for name in sorted(ours | local) if ours.get(name) != local.get(name)]


def asked(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def silent_for_ten_minutes(folder, owner):
    """As far as the claim of this owner says, if it is still there."""
    for file in (folder / "claim").glob(f"*-{owner['pid']}.json"):
        os.utime(file, (time.time() - store.claims.SILENT - 1,) * 2)


def signalled(job, name):
    """Send a signal to a job; scancel complains if that is over before it looks again."""
    subprocess.run(["scancel", f"--signal={name}", job], capture_output=True, timeout=60)


def wait(found, seconds=120):
    """What ``found`` returns as soon as that is anything."""
    last = time.monotonic() + seconds
    while not (something := found()):
        assert time.monotonic() < last, "it did not happen"
        time.sleep(0.2)
    return something


def starts(folder):
    """The host of each process that worked on a run, in order; one that finds another at work leaves at once."""
    log = (folder / store.LOG).read_text()
    found = re.findall(r"^\S+ host (\w+) pid .*\n(harness: another process works)?", log, re.MULTILINE)
    return [host for host, refused in found if not refused]


def claimed(root, node=None):
    """(folder, owner) of the runs that a job works on, on a node."""
    owners = [(folder, store.owner(folder)) for folder in store.runs(root)]
    return [(folder, owner) for folder, owner in owners if owner and node in (None, owner.get("host"))]


def working(root, node=None, besides=()):
    """Those of them that are saved once, the one with most before it first."""
    found = [
        (folder, owner)
        for folder, owner in claimed(root, node)
        if folder not in besides and any((folder / "checkpoint").glob("*/manifest.json"))
    ]
    return sorted(found, key=lambda one: store.reached(one[0]))


def struck(root, name, besides=()):
    """(folder, owner) of a run whose job this signal meets; one that ends before it does is none."""

    def once():
        folder, owner = wait(lambda: working(root, besides=besides))[0]
        signalled(owner["job"], name)
        log = folder / store.LOG
        wait(lambda: store.load_record(folder)["status"] != "RUNNING" or "Fatal" in log.read_text())
        return (folder, owner) if store.load_record(folder)["status"] != "DONE" else None

    return wait(once)


def test_forty_points_outlive_kills_a_lost_node_and_a_preemption(cluster, points, local, tmp_path, promise):
    command = line(points, tmp_path, "launcher=slurm", "launcher.jobs=4")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
        killed, its = struck(tmp_path, "ABRT")
        told, _ = struck(tmp_path, "KILL", besides=[killed])  # which SLURM lets SIGTERM go before
        wait(lambda: working(tmp_path, "n2", besides=(killed, told)))
        os.kill(int((cluster / "pid" / "n2").read_text()), signal.SIGKILL)
        wait(lambda: [run for run, _ in working(tmp_path, "n1", besides=(killed, told)) if store.reached(run) <= 300])
        asked("sbatch", "--partition=urgent", "--exclusive", "--nodelist=n1", "--output=/dev/null", "--wrap", "sleep 1")
        wait(lambda: "down" in asked("sinfo", "--noheader", "--Node", "--nodes=n2", "--format=%T"))
        subprocess.run([HERE / "cluster.sh", "node", cluster, "n2"], check=True)
        for folder, owner in claimed(tmp_path, "n2"):
            wait(lambda pid=owner["pid"]: store.claims._started(pid) is None)  # the daemon ends what it finds there
            silent_for_ten_minutes(folder, owner)
        said, _ = sweep.communicate(timeout=900)
    assert sweep.returncode == 1, said
    records = {folder: store.load_record(folder) for folder in (killed, told)}
    assert records[killed]["reason"].startswith(f"SLURM ended job {its['job']}: "), said
    assert "Fatal Python error: Aborted" in (killed / store.LOG).read_text()
    assert (records[told]["status"], records[told]["reason"]) == ("PREEMPTED", "SIGTERM")
    others = [starts(folder) for folder in store.runs(tmp_path) if folder not in (killed, told)]
    assert any(len(hosts) > 1 and hosts[0] == "n1" for hosts in others), "what was preempted came back"
    left = {folder: store.load_record(folder).get("reason", "it never began") for folder in store.runs(tmp_path)}
    assert {folder for folder, reason in left.items() if reason} == {killed, told}, left
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    different = differ(tmp_path, local)
    assert different == []
    assert list((tmp_path / "slurm").iterdir()) == [], "what submitit needs is gone"
    promise(15, points, points - len(different))


def test_a_job_whose_time_is_up_saves_is_queued_again_and_goes_on(cluster, tmp_path, times):
    """In the short form by the signal that SLURM sends before the end of the time."""
    long = times(10) == 10
    more = ("train.updates=9000", "launcher.minutes=1") if long else ("train.updates=1500",)
    command = [*line(1, tmp_path, "launcher=slurm", *more)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
        folder, owner = wait(lambda: working(tmp_path))[0]
        if not long:
            signalled(owner["job"], "USR2")
        said, _ = sweep.communicate(timeout=900)
    assert sweep.returncode == 0, said
    assert store.load_record(folder)["resumed"] >= 1
    assert (folder / store.LOG).read_text().count(" pid ") == 1 + store.load_record(folder)["resumed"]


def test_an_interrupt_leaves_no_job_behind_and_says_75_or_130(cluster, tmp_path):
    command = line(3, tmp_path, "launcher=slurm", "launcher.jobs=2")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 75)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
            wait(lambda: working(tmp_path))
            sweep.send_signal(number)
            began = time.monotonic()
            said, _ = sweep.communicate(timeout=60)
        assert (sweep.returncode, time.monotonic() - began < 6) == (code, True), said
        wait(lambda: not asked("squeue", "--noheader"), seconds=10)
        assert "PREEMPTED" in {store.load_record(folder).get("status") for folder in store.runs(tmp_path)}
        shutil.rmtree(tmp_path / "runs")


def test_a_job_that_dies_before_it_begins_has_its_last_words_in_the_log(cluster, tmp_path):
    bad = "launcher.sbatch=['export:PYTHONHOME=/nowhere']"
    done = subprocess.run(line(1, tmp_path, "launcher=slurm", bad), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (folder,) = (tmp_path / "runs").iterdir()
    log = (folder / store.LOG).read_text()
    assert "/nowhere" in log
    assert "SLURM ended job" in log
    assert str(folder / store.LOG) in done.stderr


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("launcher.partition=urgnt", "=urgnt does not exist, did you mean urgent? There is: debug, urgent"),
        ("launcher.sbatch=[constraint:fast]", "SLURM takes no job: "),
    ],
)  # fmt: skip
def test_what_the_cluster_does_not_have_is_refused_in_a_sentence(cluster, more, sentence, tmp_path):
    done = subprocess.run(line(2, tmp_path, "launcher=slurm", more), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def on_two_hosts(*words):
    """The same command on each of them."""
    return [
        subprocess.Popen(["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *words],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name in ("one", "two")
    ]  # fmt: skip


def test_two_hosts_that_share_a_folder_divide_the_runs(points, local, tmp_path, promise):
    needs("unshare")
    command = line(points, tmp_path, "launcher.jobs=1")
    hosts = on_two_hosts(*command)
    killed, its = wait(lambda: working(tmp_path))[0]
    os.kill(its["pid"], signal.SIGKILL)
    wait(lambda: store.load_record(killed).get("status") == "FAILED")
    ended = [(host.communicate(timeout=900)[0], host.returncode) for host in hosts]
    assert sorted(code for _, code in ended) == [0, 1], ended
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    divided = {folder: starts(folder) for folder in store.runs(tmp_path)}
    assert {host for hosts in divided.values() for host in hosts} >= {"one", "two"}
    assert {folder for folder, hosts in divided.items() if len(hosts) > 1} == {killed}, "the others are trained once"
    resumed = {folder for folder in store.runs(tmp_path) if store.load_record(folder)["resumed"]}
    assert resumed == {killed}, "the killed one goes on"
    different = differ(tmp_path, local)
    assert different == []
    promise(15, points, points - len(different))


CLAIMLESS = (
    "from harness.__main__ import main; from tests import victims; victims.claims_nothing(setattr); exit(main())"
)


def test_two_hosts_that_claim_nothing_are_the_broken_twin(tmp_path, promise):
    needs("unshare")
    words = line(2, tmp_path, "launcher.jobs=1")
    for host in on_two_hosts(sys.executable, "-W", "ignore", "-c", CLAIMLESS, *words[words.index("harness") + 1 :]):
        host.communicate(timeout=300)
    twice = [folder for folder in store.runs(tmp_path) if len(starts(folder)) > 1]
    promise(15, twins=1, caught=int(bool(twice)))
