"""The study as one page that needs nothing else: no script, no request, pictures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape

from fastgsm._tables import Table, protocol, tables
from fastgsm._verdict import Results

HEADLINES = 2  # findings that stand beside the first: the best likelihood, and a reason

# The policy forbids the browser to fetch anything: only what is in the file is shown.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --text: #1d1f21; --soft: #5c6166; --line: #dfe1e3; --card: #ffffff;
  --accent: #0a6b4b; --best: #e3f3ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181a; --text: #e7e8e9; --soft: #a2a8ae; --line: #34383c; --card: #1f2225;
    --accent: #6fd3ab; --best: #1d3a30;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 64rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 0.3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 0.4rem; }
h3 { font-size: 1rem; margin: 0 0 0.15rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
.soft { color: var(--soft); font-size: 0.88rem; overflow-wrap: anywhere; }
.verdict {
  background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--accent);
  border-radius: 6px; padding: 0.7rem 1.1rem; margin: 1.2rem 0;
}
.verdict .first { font-size: 1.08rem; }
ul { padding-left: 1.2rem; max-width: 46rem; }
li { margin: 0.45rem 0; }
section { margin: 1.6rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.93rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.32rem 0.8rem; text-align: right; white-space: nowrap; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
tbody th, thead th:first-child { text-align: left; }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--page); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
td.best { background: var(--best); color: var(--accent); font-weight: 700; position: relative; }
td.best::after { content: "\\2605"; font-size: 0.7em; position: absolute; right: 0.15rem; }
figure { margin: 1rem 0; }
figure img {
  display: block; width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px;
}
figure img { min-width: 38rem; }
figcaption { color: var(--soft); font-size: 0.88rem; margin-top: 0.4rem; }
"""


def page(results: Results, pictures: Mapping[str, bytes]) -> str:
    """Return the report as HTML; ``pictures`` holds denoised.png and likelihood.png."""
    settings = results["settings"]
    first, *others = results["verdict"]
    main, details = others[:HEADLINES], others[HEADLINES:]
    learning, *rest = tables(results)
    body = [
        "<header><h1>Five models of image patches</h1>"
        if len(results["models"]) == 5
        else f"<header><h1>{len(results['models'])} models of image patches</h1>",
        f'<p class="soft">How well they explain patches and denoise images, measured by fastgsm '
        f"{escape(results['versions']['fastgsm'])} in {results['seconds']:.0f} seconds.</p>"
        "</header>",
        f'<div class="verdict"><p class="first">{escape(first)}</p>',
        *(f"<p>{escape(finding)}</p>" for finding in main),
        "</div>",
        "<h2>Denoised</h2>",
        _figure(
            pictures["denoised.png"],
            f"A part of {settings['pictured']}, a test image. Each row is a noise level (standard "
            "deviation, for grey values from 0 to 1). The PSNR is that of the whole image, the "
            "best of a row in bold; patches are averaged.",
        ),
        "<h2>In detail</h2>",
        "<ul>" + "".join(f"<li>{escape(finding)}</li>" for finding in details) + "</ul>",
        "<h2>Figures</h2>",
        '<p class="soft">A star marks the best of a column.</p>',
        _table(learning),
        _figure(
            pictures["likelihood.png"],
            "Mean log-likelihood of the training patches after each iteration of EM.",
        ),
        *(_table(table) for table in rest),
        "<h2>How it was measured</h2>",
        *(f'<p class="soft">{escape(line)}</p>' for line in protocol(results)),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<title>fastgsm: models of image patches compared</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(table: Table) -> str:
    """Return a table under its title, in a box that scrolls on narrow screens."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(_cell(table, column, row) for column in table.columns)
        + "</tr>"
        for row, name in enumerate(table.rows)
    ]
    return (
        f'<section><h3>{escape(table.title)}</h3><p class="soft">{escape(table.note)}</p>'
        '<div class="scroll" tabindex="0"><table>'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _cell(table: Table, column: str, row: int) -> str:
    """Return a cell, marked if it is the best of its column."""
    mark = ' class="best"' if (column, row) in table.best else ""
    return f"<td{mark}>{escape(table.columns[column][row])}</td>"


def _figure(png: bytes, caption: str) -> str:
    """Return a picture with its data inside, in a box that scrolls on narrow screens."""
    data = b64encode(png).decode()
    text = escape(caption)
    return (
        f'<figure><div class="scroll" tabindex="0"><img alt="{text}" '
        f'src="data:image/png;base64,{data}"></div><figcaption>{text}</figcaption></figure>'
    )
