from __future__ import annotations

import pytest

from roleml.cli.observe import tail
from roleml.core.context import RoleInstanceID


def test_an_event_that_names_roles_is_shown_with_their_ids_as_people_write_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    who = [RoleInstanceID("client6", "trainer"), RoleInstanceID("client9", "trainer")]
    args = {"round": 0, "first": who[0], "participants": who, "result": {"accuracy": 0.5}}
    tail._show(tail._Arrival("round-completed", "server/coordinator", args, []), as_json=False)
    line = capsys.readouterr().out.strip()
    assert line.endswith(
        "server/coordinator round-completed: round=0, first=client6/trainer, "
        "participants=[client6/trainer, client9/trainer], result={'accuracy': 0.5}"
    )
