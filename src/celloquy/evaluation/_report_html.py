"""The report of a suite as one HTML file: no network, tables that sort, pictures inside."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from celloquy.evaluation._report_rows import (
    NOT_APPLICABLE,
    NOT_APPLICABLE_HEADS,
    case_cells,
    summary_cells,
    summary_columns,
)
from celloquy.evaluation._report_svg import forest, legend, reliability
from celloquy.evaluation._suite_answers import NOT_MEASURED, RULE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from celloquy.evaluation._suite_report import Detail, SuiteReport

    Cell = str | tuple[str, str]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#24292e;max-width:1080px;margin:2em auto}
h1{font-size:1.6em} h2{margin-top:2em;border-bottom:1px solid #d8dde1} h3{margin-top:1.6em}
table{border-collapse:collapse;font-size:13px;margin:.8em 0}
td,th{padding:3px 9px;text-align:right}
td:first-child,th:first-child{text-align:left;min-width:7em}
td:not(:first-child){white-space:nowrap} tr:nth-child(even) td{background:#f6f8f9}
th{border-bottom:2px solid #c4cacf;vertical-align:bottom} table.sortable th{cursor:pointer}
.wide td:first-child{min-width:18em}
.prose td,.prose th{text-align:left;vertical-align:top}
.prose td:not(:first-child){white-space:normal}
tr.default td{font-weight:600} .wide{overflow-x:auto} .side{display:flex;flex-wrap:wrap;gap:2em}
.legend span{margin-right:1.2em} pre{background:#f6f8f9;padding:.6em;overflow-x:auto}
"""
_SORT = """
for(const t of document.querySelectorAll('table.sortable'))t.querySelectorAll('th').forEach((h,i)=>
h.addEventListener('click',()=>{const b=t.tBodies[0],s=h.dataset.up=h.dataset.up==='1'?'0':'1';
const v=r=>{const c=r.cells[i].textContent,n=parseFloat(c);return isNaN(n)?c:n};
const d=(a,c)=>typeof a===typeof c?(a>c)-(a<c):typeof a==='string'?-1:1;
[...b.rows].sort((x,y)=>(s==='1'?-1:1)*d(v(x),v(y))).forEach(r=>b.append(r))}));
"""


def html_report(report: SuiteReport) -> str:
    """Write the report as one HTML page."""
    kinds = list(report.summary["kind"].unique())
    body = [
        "<h2>Does the language model add anything?</h2>",
        *_answers(report),
    ]
    for kind in kinds:
        rows = report.summary[report.summary["kind"] == kind]
        headline = report.results.headline(str(kind))
        body += [
            f"<h2>{escape(_capital(str(kind)))}</h2>",
            f'<p class="legend">{legend(rows["role"])}</p>',
            f'<div class="wide">{forest(rows, headline)}</div>',
            f"<p>{escape(report.note_of(str(kind)))} A click on a title sorts.</p>",
            f'<div class="wide">{_summary(report, rows)}</div>',
            f"<h3>Every case, {escape(headline.title)}</h3>",
            f'<div class="wide">{_cases(report, str(kind))}</div>',
        ]
        for detail in report.details[str(kind)]:
            body += _detail(detail)
    if report.not_applicable:
        skipped: list[tuple[list[Cell], str]] = [
            ([str(value) for value in row.values()], "") for row in report.not_applicable
        ]
        body += [f"<h2>{NOT_APPLICABLE}</h2>", table_that_sorts(NOT_APPLICABLE_HEADS, skipped)]
    body += ["<h2>Sets of cells</h2>", _sets(report)]
    summary = " ".join(report.suite.summary.split())
    return html_page(
        report.suite.title, command=report.command, said=[summary, report.made], body=body
    )


def html_page(title: str, *, command: str, said: Sequence[str], body: Sequence[str]) -> str:
    """Write a page that stands alone.

    Parameters
    ----------
    title
        Title of the page.
    command
        What makes it again.
    said
        Sentences below the title; plain text.
    body
        What follows; HTML.
    """
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    top = [
        f"<h1>{escape(title)}</h1>",
        f"<pre>{escape(command)}</pre>",
        *(f"<p>{escape(sentence)}</p>" for sentence in said),
    ]
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>'
        f"{''.join([*top, *body])}<script>{_SORT}</script></body></html>\n"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _answers(report: SuiteReport) -> list[str]:
    if not report.answers:
        return [f"<p>{NOT_MEASURED}</p>"]
    said = []
    for answer in report.answers:
        said.append(f"<h3>{escape(answer.lm)}, {escape(answer.kind)}</h3><ul>")
        said += [f"<li>{escape(sentence)}</li>" for sentence in answer.sentences()]
        said.append("</ul>")
    return [*said, f"<p>{escape(RULE)}</p>"]


def _summary(report: SuiteReport, rows: pd.DataFrame) -> str:
    metrics = report.results.shown(str(rows["kind"].iloc[0]))
    columns = summary_columns(rows, metrics)
    lines = [
        ([str(row["title"]), *summary_cells(row, columns, metrics)], str(row["role"]))
        for _, row in rows.iterrows()
    ]
    return table_that_sorts(["method", *columns.values()], lines)


def _cases(report: SuiteReport, kind: str) -> str:
    wide, headline = report.cases(kind), report.results.headline(kind)
    lines = [
        ([f"{one} → {other}" if one else str(other), *case_cells(row, headline)], "")
        for (one, other), row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return table_that_sorts(["case", *wide.columns], lines)


def _detail(detail: Detail) -> list[str]:
    labels = [
        ([str(name), *(f"{row[c]:.3f}" for c in ("precision", "recall", "f1")),
          f"{int(row['n_obs'])}"], "")
        for name, row in detail.per_label.iterrows()
    ]  # fmt: skip
    return [
        f"<h3>{escape(detail.title)}</h3><div class=side>",
        f"<div>{table_that_sorts(['label', 'precision', 'recall', 'F1', 'cells'], labels)}</div>",
        f"<div>Share of each label (rows) by prediction{_confusion(detail.confusion)}</div>",
        f"<div>{reliability(detail.reliability)}</div></div>",
    ]


def _confusion(shares: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in shares.columns)
    body = []
    for name, row in shares.iterrows():
        cells = "".join(
            f'<td style="background:rgba(11,110,79,{0.75 * value:.2f})">{value:.2f}</td>'
            for value in row
        )
        body.append(f"<tr><td>{escape(str(name))}</td>{cells}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _sets(report: SuiteReport) -> str:
    rows = [([each["name"], each["study"], each["origin"], each["sha256"][:16]], "")
            for each in report.sets]  # fmt: skip
    return table_that_sorts(["set", "study", "had from", "SHA-256 of the file"], rows)


def table_that_sorts(heads: Iterable[str], rows: Sequence[tuple[Sequence[Cell], str]]) -> str:
    """Write a table that sorts by a click on a title.

    Parameters
    ----------
    heads
        Titles of the columns.
    rows
        The cells of each row, and its class; a cell is a text, or a text and where it leads.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f'<tr class="{escape(kind)}">' + "".join(f"<td>{_cell(c)}</td>" for c in cells) + "</tr>"
        for cells, kind in rows
    )
    return f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(said: Cell) -> str:
    if isinstance(said, str):
        return escape(said)
    text, link = said
    return f'<a href="{escape(link)}">{escape(text)}</a>'
