"""The code of the tutorial that RoleML grew from, over the embedded broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tutorial import TUTORIAL, check_tutorial


@pytest.mark.timeout(240)
@pytest.mark.skipif(not TUTORIAL.is_dir(), reason="the tutorial does not lie beside this repository")
def test_the_code_of_the_tutorial_runs_unchanged(tmp_path: Path) -> None:
    check_tutorial(tmp_path)
