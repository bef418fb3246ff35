"""Run folders: claim, write, save, read back. The only room that writes files, and ``disk.py`` the only file that does.

Nothing is pickled; everything that is read back is checked.
"""

from harness.store.checkpoints import Checkpoint, has_checkpoint, load_checkpoint, reached, save_checkpoint
from harness.store.claims import Claimed, claim, owner, release, this_job
from harness.store.disk import Corrupt, append, figures, opened, remove, scratch, write
from harness.store.frames import folders, read, read_curves, read_folders, read_run, run_folder, runs
from harness.store.manifest import begun, save_files
from harness.store.records import (
    LOG,
    Sweep,
    load_record,
    load_settings,
    load_sweep,
    save_record,
    save_settings,
    save_sweep,
    settings_text,
    sweeps,
)
from harness.store.scores import item_key, load_scores, save_scores
from harness.store.studies import load_study, load_table, save_study, save_table, studies, study_file
from harness.store.text import LARGE, SMALL, Json, from_csv, from_json, from_yaml, to_csv, to_json, to_yaml

__all__ = [
    "LARGE",
    "LOG",
    "SMALL",
    "Checkpoint",
    "Claimed",
    "Corrupt",
    "Json",
    "Sweep",
    "append",
    "begun",
    "claim",
    "figures",
    "folders",
    "from_csv",
    "from_json",
    "from_yaml",
    "has_checkpoint",
    "item_key",
    "load_checkpoint",
    "load_record",
    "load_scores",
    "load_settings",
    "load_study",
    "load_sweep",
    "load_table",
    "opened",
    "owner",
    "reached",
    "read",
    "read_curves",
    "read_folders",
    "read_run",
    "release",
    "remove",
    "run_folder",
    "runs",
    "save_checkpoint",
    "save_files",
    "save_record",
    "save_scores",
    "save_settings",
    "save_study",
    "save_sweep",
    "save_table",
    "scratch",
    "settings_text",
    "studies",
    "study_file",
    "sweeps",
    "this_job",
    "to_csv",
    "to_json",
    "to_yaml",
    "write",
]
