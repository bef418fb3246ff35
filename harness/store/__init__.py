"""Run folders: claim, write, save, read back. The only room that writes files, and ``disk.py`` the only file that does.

Nothing is pickled; everything that is read back is checked.
"""

from harness.store.checkpoints import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint
from harness.store.claims import Claimed, claim
from harness.store.disk import Corrupt, scratch, write
from harness.store.frames import folders, read, read_curves, read_folders, read_run, run_folder, runs
from harness.store.scores import item_key, load_scores, save_scores
from harness.store.studies import load_studies, load_table, save_study, save_table
from harness.store.text import LARGE, SMALL, Json, from_csv, from_json, from_yaml, to_csv, to_json, to_yaml

__all__ = [
    "LARGE",
    "SMALL",
    "Checkpoint",
    "Claimed",
    "Corrupt",
    "Json",
    "claim",
    "folders",
    "from_csv",
    "from_json",
    "from_yaml",
    "has_checkpoint",
    "item_key",
    "load_checkpoint",
    "load_scores",
    "load_studies",
    "load_table",
    "read",
    "read_curves",
    "read_folders",
    "read_run",
    "run_folder",
    "runs",
    "save_checkpoint",
    "save_scores",
    "save_study",
    "save_table",
    "scratch",
    "to_csv",
    "to_json",
    "to_yaml",
    "write",
]
