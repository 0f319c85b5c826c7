"""Every error has a code that never changes, and a page that shows what is really raised."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import traceback
from pathlib import Path

import pytest

import roleml
from roleml.cli.check.files import check_file
from roleml.cli.check.findings import Code
from roleml.cli.explain.pages import codes, page, title
from roleml.cli.foreground import tell
from roleml.cli.main import main
from roleml.core.builders.errors import ConfigError, MissingKeyError, Problem, UnknownKeyError
from roleml.core.role.exceptions import CallerError
from roleml.messaging.rabbitmq.probing import CODES
from roleml.shared.errors import RoleMLError, pointer
from tests.provoked import APPLICATION, CHECKED, PROVOKED

ROOT = Path(__file__).resolve().parent.parent

# Written down once, for ever. A new class gets a new code, and a line here.
FOR_EVER = """
RML-R001 RoleInteractionError
RML-R002 CallerError
RML-R003 HandlerError
RML-R004 ChannelNotFoundError
RML-R005 TaskResultTimeoutError
RML-R006 NoSuchEventError
RML-R007 InternalError
RML-R008 NoSuchRoleError
RML-R009 StatusError
RML-R010 RoleOffloadedError
RML-R011 StatusTransferCallbackError
RML-R012 ActorNotFoundError
RML-R013 MergerTimeoutError
RML-R014 MergingFailedError
RML-R015 CheckpointError
RML-C001 ConfigError
RML-C002 MissingKeyError
RML-C003 UnknownKeyError
RML-C004 WrongTypeError
RML-C005 UnknownChoiceError
RML-C006 UnknownElementError
RML-C007 MissingModuleError
RML-C008 MissingNameError
RML-C009 FailedImportError
RML-C010 BrokenFileError
RML-C101 Code.ELEMENT
RML-C102 Code.NAME
RML-C103 Code.FORM
RML-C104 Code.MEMBER
RML-C105 Code.LINK
RML-C106 Code.NOBODY_HEARD
RML-C107 Code.EVENT
RML-C108 Code.CONDITIONS
RML-C109 Code.UNREACHABLE
RML-C110 Code.PATTERN
RML-C111 Code.NO_EFFECT
RML-M001 MessagingError
RML-M002 CodecError
RML-M003 EncodeError
RML-M004 DecodeError
RML-M005 ProcedureInvokerError
RML-M006 InvalidInvokerError
RML-M007 ProcedureNotFoundError
RML-M008 InvocationRefusedError
RML-M009 InvocationAbortError
RML-M010 InvocationRedirectError
RML-M011 InvocationFailedError
RML-M012 MsgConnectionError
RML-M013 HandshakeError
RML-M014 HandwaveError
RML-D001 AbsentError
RML-D002 DeploymentError
RML-D003 RunEndedError
RML-L001 CommandError
RML-L002 CommandLineError
RML-L003 RunFailedError
RML-L004 BrokerNotUpError
RML-L005 EndedTooEarlyError
RML-B001 connection
RML-B002 version
RML-B003 permission
RML-B004 broker
RML-B005 alarm
RML-B006 limits
RML-B007 name
RML-B008 management
RML-B009 node
RML-B010 cluster
RML-B011 tasks
RML-B012 consumers
RML-B013 version skew
RML-B014 leftovers
"""

# These never reach a user: whoever raises one, or the module beside it, catches it.
NOT_SEEN = {
    "FilteredOut": "a filter's word for 'not this one'",
    "Interruption": "how a signal leaves the main thread",
    "MalformedError": "a message from outside that is rejected, logged and counted",
    "NotTakenError": "how a task is left to the next process of an actor that stops",
    "Refused": "a row of the codec's table says no; the codec tells which value",
    "RejectedError": "a message from outside that is rejected, logged and counted",
    "RemoteTraceback": "not an error but the cause of one, from another actor",
    "TransferError": "a transfer that is given up; the receiver rejects it",
    "Unsupported": "a row of the codec's table says no; the codec tells which value",
}


def classes() -> list[type[Exception]]:
    """All public exception classes of RoleML that are not for inner use."""
    found: set[type[Exception]] = set()
    for module in pkgutil.walk_packages(roleml.__path__, "roleml."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__ == module.name
                and not name.startswith("_")
                and name not in NOT_SEEN
            ):
                found.add(value)
    return sorted(found, key=lambda cls: cls.__name__)


def test_every_exception_class_has_a_code_of_its_own() -> None:
    without = [cls.__name__ for cls in classes() if "code" not in vars(cls) and cls is not RoleMLError]
    assert not without, (
        f"no code: {without}. Derive them from roleml.shared.errors.RoleMLError, set code = 'RML-...' to the "
        "next free one, write its page in roleml/cli/explain/pages and a line in FOR_EVER; then `make schema`"
    )
    assert all(issubclass(cls, RoleMLError) for cls in classes())


def test_codes_never_change() -> None:
    now = {f"{cls.code} {cls.__name__}" for cls in classes() if cls is not RoleMLError}
    now |= {f"{code.value} {code}" for code in Code if code is not Code.PROFILES}
    now |= {f"{code} {subject}" for subject, code in CODES.items()}
    assert now == set(FOR_EVER.strip().splitlines())
    assert len({line.split()[0] for line in now}) == len(now), "two have the same code"


def test_every_code_has_a_page_with_cause_and_remedy() -> None:
    assert codes() == sorted(line.split()[0] for line in FOR_EVER.strip().splitlines())
    for code in codes():
        text = page(code)
        assert text.startswith(f"# {code}: {title(code)}\n")
        assert "\n## What it means\n" in text
        assert "\n## What to do\n\n- " in text


@pytest.mark.parametrize("code", sorted(PROVOKED))
def test_a_page_shows_what_is_really_raised(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "application.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    with pytest.raises(RoleMLError) as raised:
        PROVOKED[code](tmp_path)
    assert raised.value.code == code
    assert f"```text\n{raised.value}\n```" in page(code)
    for name in ("application", "broken"):
        monkeypatch.delitem(importlib.import_module("sys").modules, name, raising=False)


def test_the_pages_of_check_show_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "application", raising=False)
    (tmp_path / "application.py").write_text(APPLICATION, encoding="utf-8")
    shown = set()
    for name, text in CHECKED.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for severity, problem in check_file(name).sorted():
            where, what = str(problem.mark), str(problem).removeprefix(f"{problem.mark}: ")
            if f"```text\n{where}: {severity}: {what} [{problem.code}]\n```" in page(problem.code):
                shown.add(problem.code)
    monkeypatch.delitem(sys.modules, "application", raising=False)
    assert shown == {code.value for code in Code} - {Code.PROFILES.value}


def test_every_subject_that_the_doctor_speaks_of_has_a_code() -> None:
    subjects = set()
    for file in ("roleml/messaging/rabbitmq/probing.py", "roleml/cli/doctor/overview.py"):
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                level, subject = node.args[:2]
                if not (isinstance(level, ast.Constant) and level.value == "ok"):
                    subjects |= {each.value for each in ast.walk(subject) if isinstance(each, ast.Constant)}
    assert len(subjects) > 8
    assert {each for each in subjects if isinstance(each, str)} == set(CODES)


@pytest.mark.parametrize(("subject", "code"), CODES.items())
def test_a_page_of_the_doctor_shows_a_finding_as_it_is_printed(subject: str, code: str) -> None:
    shown = page(code).partition("```text\n")[2].partition("\n```")[0]
    assert re.fullmatch(rf"(ERROR  |warning) {subject}: .+(\n        -> .+)?", shown), shown


def test_a_traceback_ends_with_the_way_to_the_page() -> None:
    error = CallerError("no such round")
    assert str(error) == "no such round"  # the text travels, and is compared
    assert error.__notes__ == [pointer(["RML-R002"])]
    if hasattr(error, "add_note"):  # Python 3.11 prints notes
        assert traceback.format_exception(error)[-1].strip() == error.__notes__[0]


def test_several_problems_lead_to_several_pages() -> None:
    error = ConfigError(
        Problem(("naem",), "unknown", UnknownKeyError), Problem((), "needs a name", MissingKeyError)
    )
    assert error.__notes__ == [pointer(["RML-C003", "RML-C002"])]
    assert "RML-C003" in pointer(["RML-C003", "RML-C002"])
    assert "also RML-C002" in pointer(["RML-C003", "RML-C002"])


def test_the_command_line_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "not-there.yaml"]) == 2
    assert "roleml explain RML-L001" in capsys.readouterr().err
    assert tell("roleml run", CallerError("no such round")) == 1
    assert "roleml explain RML-R002, or docs/errors/RML-R002.md" in capsys.readouterr().err


def test_explain_prints_the_page_or_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "c003"]) == 0
    assert capsys.readouterr().out == page("RML-C003")
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == codes()
    assert main(["explain", "RML-C0003"]) == 2
    assert "did you mean 'RML-C003'?" in capsys.readouterr().err


def test_the_manual_has_the_pages_and_lists_them() -> None:
    listed = re.findall(r"\(errors/(RML-[A-Z]\d{3})\.md\)", (ROOT / "docs" / "codes.md").read_text("utf-8"))
    assert sorted(listed) == codes()
    for code in codes():
        assert (ROOT / "docs" / "errors" / f"{code}.md").read_text("utf-8") == page(code), "make schema"
