"""A run as one HTML page that needs nothing else."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from roleml.cli.graph import draw
from roleml.cli.graph.topology import Topology
from roleml.cli.report.charts import MOST_BARS, MOST_ROWS, curve, timeline
from roleml.cli.report.data import Curve, Run, in_order
from roleml.cli.status.table import ago, size

__all__ = ["PAGE", "html", "write"]

PAGE = "report.html"
MOST_CURVES, MOST_LINKS, MOST_SHARES = 12, 25, 50
PACKAGES = ["roleml", "numpy", "scikit-learn", "torch", "pika", "msgpack"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #111827; margin: 0 auto; max-width: 1080px; padding: 2rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .6rem; }
p, td, th, summary { color: #374151; } .faint { color: #6b7280; font-size: .86rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #d1d5db; padding: .25rem .6rem .25rem 0; }
td { border-bottom: 1px solid #f3f4f6; padding: .2rem .6rem .2rem 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; } th.number { text-align: right; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.facts li { background: #f9fafb; border: 1px solid #e5e7eb; border-radius: 8px; padding: .6rem 1rem; min-width: 7rem; }
.facts b { display: block; font-size: 1.25rem; color: #0f766e; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 1rem; }
svg { max-width: 100%; height: auto; } pre { background: #f9fafb; border: 1px solid #e5e7eb; padding: 1rem;
overflow-x: auto; font-size: .8rem; border-radius: 8px; }
td:has(.bar) { width: 45%; } .bar { background: #99d5cf; height: .7rem; border-radius: 3px; min-width: 1px; } .bad { color: #b91c1c; font-weight: 600; }
"""  # noqa: E501  # style sheets are read by browsers


def write(folder: Path, file: Path | None = None) -> Path:
    """Write the page of the run in `folder`, there or to `file`; returns where.

    Raises:
        OSError, ValueError: see `Run.read`.
    """
    page = file or folder / PAGE
    page.write_text(html(Run.read(folder)), encoding="utf-8")
    return page


def html(run: Run) -> str:
    """The page."""
    parts = [
        _head(run),
        _section("Curves", _curves(run.curves())),
        _section("Who worked when", _timeline(run)),
        _section("Who took part", _shares(run)),
        _section("Who talks to whom", _topology(run)),
        _section("Bytes from whom to whom", _links(run)),
        _section("Actors", _actors(run)),
        _section("Configuration and versions", _circumstances(run)),
    ]
    title = escape(run.folder.absolute().name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{''.join(parts)}</body></html>\n"
    )


def _head(run: Run) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began))
    nbytes = sum(report["sent"]["nbytes"] for report in run.actors.values())
    facts = [
        (f"{run.seconds:.1f} s", "duration"),
        (str(len(run.actors) or len({entry.source.actor_name for entry in run.entries})), "actors"),
        (str(len(run.entries)), "entries"),
    ]
    if run.actors:
        facts.append((size(nbytes), "sent, without headers"))
    for last in run.curves():
        if len(last.series) == 1:
            (points,) = last.series.values()
            facts.append((f"{points[-1][1]:.4g}", f"last {last.name} of {last.role}"))
    items = "".join(f"<li><b>{escape(value)}</b>{escape(what)}</li>" for value, what in facts[:8])
    name = escape(run.folder.absolute().name)
    return f'<h1>{name}</h1><p class="faint">began {when}</p><ul class="facts">{items}</ul>'


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}\n" if body else ""


def _curves(curves: Sequence[Curve]) -> str:
    # what one role tells of the whole first, then what many tell of themselves
    ordered = sorted(curves, key=lambda each: (len(each.series) > 1, each.role, each.name))
    pictures = "".join(f"<div>{curve(each)}</div>" for each in ordered[:MOST_CURVES])
    left = len(ordered) - MOST_CURVES
    more = f'<p class="faint">{left} more are in the record.</p>' if left > 0 else ""
    return f'<div class="curves">{pictures}</div>{more}' if pictures else ""


def _timeline(run: Run) -> str:
    spans = run.spans()
    if not spans:
        return ""
    notes = []
    if len(spans) > MOST_BARS:
        notes.append(f"the last {MOST_BARS} of {len(spans)} pieces of work")
    if (rows := len({span.source for span in spans})) > MOST_ROWS:
        notes.append(f"the {MOST_ROWS} busiest of {rows} roles")
    note = f" Shown: {', '.join(notes)}." if notes else ""
    return (
        f'{timeline(spans)}<p class="faint">A bar is work that a role logged with its seconds; between bars '
        f"it waited. Times are by the clock of each machine.{note}</p>"
    )


def _shares(run: Run) -> str:
    shares = run.shares()
    rows = [
        [
            escape(str(share.source)),
            str(share.times),
            f"{share.mean_s:.3f}",
            f"{share.longest_s:.3f}",
            f"{share.total_s:.2f}",
            f"{100 * share.total_s / run.seconds:.0f} %" if run.seconds else "",
            str(share.asked) if share.asked else "",
            f'<span class="bad">{share.missing}</span>' if share.missing else ("0" if share.asked else ""),
        ]
        for share in shares[:MOST_SHARES]
    ]
    heads = "role,times,mean s,longest s,total s,of the run,asked,missing".split(",")
    note = (
        '<p class="faint">The slowest first. Asked: in how many rounds it was to take part; missing: in how '
        "many of these it logged nothing.</p>"
    )
    return _table(heads, rows) + note if rows else ""


def _topology(run: Run) -> str:
    topology = Topology.live(run.actors)
    if not topology.groups:
        return ""
    if shutil.which("dot") is None:
        return f"<pre>{escape(draw.text(topology))}</pre>"
    picture = draw.svg(topology)
    return picture[picture.index("<svg") :]


def _links(run: Run) -> str:
    links = run.links()
    if not links:
        return ""
    most = links[0].nbytes
    rows = [
        [
            escape(link.source),
            escape(link.target),
            size(link.nbytes),
            f'<div class="bar" style="width:{100 * link.nbytes / most:.1f}%"></div>',
        ]
        for link in links[:MOST_LINKS]
    ]
    left = len(links) - MOST_LINKS
    more = f" {left} smaller ones are not shown." if left > 0 else ""
    note = (
        f'<p class="faint">Contents of calls and answers, without headers and events. What goes to several '
        f"counts for each, though it is uploaded once.{more}</p>"
    )
    return _table(["from", "to", "bytes", ""], rows, numbers={2}) + note


def _actors(run: Run) -> str:
    rows = []
    for name in in_order(run.actors):
        report = run.actors[name]
        roles = [role for role in report["roles"] if role != "actor"]
        failures = sum(role.get("failures", 0) for role in report["roles"].values())
        failure = report.get("last_failure")
        text = f"{failure['where']}: {failure['type']}: {failure['text']}" if failure else ""
        rows.append(
            [
                escape(name),
                escape(", ".join(roles)),
                escape(f"{report['host']}, {report['pid']}"),
                ago(report["up_s"]),
                size(report["sent"]["nbytes"]),
                f'<span class="bad">{failures}</span>' if failures else "0",
                escape(text[:200]),
            ]
        )
    heads = "actor,roles,host and process,up,sent,failures,last failure".split(",")
    return _table(heads, rows, numbers={4, 5}) if rows else ""


def _circumstances(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in _versions())
    told = sorted({str(report["version"]) for report in run.actors.values()})
    actors = f" Actors ran RoleML {', '.join(told)}." if told else ""
    text = f"<p>Python {platform.python_version()} on {platform.platform()}: {versions}.{escape(actors)}</p>"
    if run.configuration is not None:
        text += f"<details><summary>config.yaml</summary><pre>{escape(run.configuration)}</pre></details>"
    return text


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] | set[int] | None = None
) -> str:
    right = set(range(1, len(heads))) if numbers is None else numbers

    def row(cells: Sequence[str], tag: str) -> str:
        marked = [
            f'<{tag} class="number">{cell}</{tag}>' if i in right else f"<{tag}>{cell}</{tag}>"
            for i, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(heads, 'th')}</thead><tbody>{body}</tbody></table>"
