"""A topology as text, as a Mermaid diagram, and in the language of Graphviz, which draws SVG."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from roleml.cli.command import CommandError
from roleml.cli.graph.topology import Edge, Topology

__all__ = ["dot", "mermaid", "svg", "text"]

DOT_TIMEOUT_S = 60.0


def text(topology: Topology) -> str:
    """For terminals: each actor, its roles, and below each what it calls and hears."""
    labels = {group.key: group.label for group in topology.groups}
    lines: list[str] = []

    def place(end: tuple[str, str], here: str) -> str:
        key, role = end
        return role if key == here else f"{labels[key]}/{role}"

    for group in topology.groups:
        lines.append(group.label)
        rows = [
            (role, cls, [edge for edge in topology.edges if (group.key, role) in _ends_at(edge)])
            for role, cls in group.roles.items()
        ]
        for role, cls, edges in rows:
            lines.append(f"  {role}" + (f"  ({cls})" if cls else ""))
            for edge in edges:
                names = ", ".join(edge.labels)
                if edge.kind == "event":
                    lines.append(f"    hears {names} of {place(edge.source, group.key)}")
                else:
                    lines.append(f"    calls {names} of {place(edge.target, group.key)}")
        lines += [
            f"  {', '.join(edge.labels)} -> {place(edge.target, group.key)}"
            for edge in topology.edges
            if edge.source == (group.key, "")
        ]
    return "\n".join(lines)


def _ends_at(edge: Edge) -> list[tuple[str, str]]:
    """The role under which an edge is told: the caller, or the listener."""
    return [edge.target if edge.kind == "event" else edge.source]


def mermaid(topology: Topology) -> str:
    """For Markdown pages. Calls are lines, events dotted, relationships of which no more is known thick."""
    lines = ["flowchart LR"]
    for group in topology.groups:
        if group.roles:
            lines.append(f'  subgraph {_id(group.key)}["{group.label}"]')
            for role, cls in group.roles.items():
                lines.append(f'    {_id(group.key, role)}["{role}' + (f'<br><i>{cls}</i>"]' if cls else '"]'))
            lines.append("  end")
        else:
            lines.append(f'  {_id(group.key)}["{group.label}"]')
    arrows = {"call": "-- {} -->", "event": "-. {} .->", "relationship": "== {} ==>"}
    for edge in topology.edges:
        arrow = arrows[edge.kind].format(f'"{", ".join(edge.labels)}"')
        lines.append(f"  {_id(*edge.source)} {arrow} {_id(*edge.target)}")
    return "\n".join(lines)


def _id(key: str, role: str = "") -> str:
    return re.sub(r"\W", "_", f"{key}__{role}" if role else f"{key}_")


def dot(topology: Topology) -> str:
    """For Graphviz."""
    lines = [
        "digraph application {",
        '  graph [rankdir=LR, compound=true, fontname="Helvetica", fontsize=11, nodesep=0.25, ranksep=0.9];',
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica", fontsize=10];',
        '  edge [fontname="Helvetica", fontsize=9, color="#555555", fontcolor="#333333", arrowsize=0.7];',
    ]
    for group in topology.groups:
        lines.append(f"  subgraph cluster_{_id(group.key)} {{")
        lines.append(f"    label={json.dumps(group.label)};")
        lines.append('    style="rounded,filled"; color="#cfd8dc"; fillcolor="#f4f7f9";')
        for role, cls in group.roles.items():
            label = json.dumps(f"{role}\n{cls}" if cls else role)
            lines.append(f"    {_id(group.key, role)} [label={label}];")
        if not group.roles:
            lines.append(f'    {_id(group.key)} [label="", shape=point, style=invis];')
        lines.append("  }")
    styles = {"call": "", "event": ", style=dashed", "relationship": ', color="#9e9e9e"'}
    anchors = {group.key: _id(group.key, next(iter(group.roles), "")) for group in topology.groups}
    for edge in topology.edges:
        key, role = edge.source
        source = _id(key, role) if role else anchors[key]
        tail = "" if role else f", ltail=cluster_{_id(key)}"
        label = json.dumps("\n".join(edge.labels))
        lines.append(f"  {source} -> {_id(*edge.target)} [label={label}{styles[edge.kind]}{tail}];")
    return "\n".join([*lines, "}"])


def svg(topology: Topology) -> str:
    """A picture. Raises CommandError where Graphviz is not installed, or cannot draw it."""
    program = shutil.which("dot")
    if program is None:
        raise CommandError(
            "--format svg needs Graphviz: install it (apt-get install graphviz), or take --format mermaid, "
            "which many pages draw"
        )
    try:
        done = subprocess.run(
            [program, "-Tsvg"],
            input=dot(topology),
            capture_output=True,
            text=True,
            timeout=DOT_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"Graphviz has not drawn it within {DOT_TIMEOUT_S:g} s") from error
    except subprocess.CalledProcessError as error:
        raise CommandError(f"Graphviz could not draw it: {error.stderr}") from error
    return done.stdout
