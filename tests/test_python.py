"""The example of docs/python.md runs as it stands there, and shows what it promises."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def test_the_example_builds_fits_evaluates_and_plots(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    code = [line for line in example.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 30
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "update 500: 0.0" in done.stdout, "it has learned the running bit"
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")
