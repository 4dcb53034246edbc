"""What type checkers see: each wrong call in typed/calls.py, few unknown types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxtext import versions


@pytest.mark.thorough
@pytest.mark.skipif(
    not versions.numpy_types_are_known(),
    reason="the stubs of this NumPy leave the types of arrays unknown",
)
def test_public_types_are_known(tmp_path):
    command = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal"]
    command += ["--verifytypes", "jaxtext"]
    # It looks at the packages of the first Python on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True
    )
    score = json.loads(run.stdout)["typeCompleteness"]["completenessScore"]
    assert score >= 0.95
