"""The study as one page that needs nothing else: no request, pictures and script inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape

from fastgsm.study.page_script import SCRIPT
from fastgsm.study.tables import Table, protocol, tables
from fastgsm.study.verdict import Results

HEADLINES = 2  # findings that stand beside the first: the best likelihood, and a reason

# The policy forbids the browser to fetch anything, and to run anything but the script below: a
# name of an image or a model can do no harm.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'"
)

Slides = Mapping[float, Mapping[str, bytes]]  # PNG files by noise level and model, "" for noisy

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
th button {
  all: unset; cursor: pointer; display: inline-block; padding-right: 0.9em; position: relative;
}
th button:hover { color: var(--accent); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th button::after { content: "\\2195"; position: absolute; right: 0; opacity: 0.35; }
th[aria-sort] button::after { opacity: 1; color: var(--accent); }
th[aria-sort="ascending"] button::after { content: "\\2191"; }
th[aria-sort="descending"] button::after { content: "\\2193"; }
.slider { --cut: 50%; max-width: 34rem; }
.slider .controls { display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; margin: 0.6rem 0; }
.slider select {
  font: inherit; color: inherit; background: var(--card); padding: 0.1rem 0.3rem;
  border: 1px solid var(--line); border-radius: 4px;
}
.slider output { font-variant-numeric: tabular-nums; }
.slider .pair { position: relative; overflow: hidden; border-radius: 6px; }
.slider .pair img { min-width: 0; border: 0; border-radius: 0; image-rendering: pixelated; }
.slider .after { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--cut)); }
.slider .pair::after {
  content: ""; position: absolute; top: 0; bottom: 0; left: calc(var(--cut) - 1px); width: 2px;
  background: #ffffff; box-shadow: 0 0 3px #000000;
}
.slider .pair span {
  position: absolute; bottom: 0.5rem; padding: 0 0.5rem; border-radius: 4px; z-index: 1;
  background: rgb(0 0 0 / 60%); color: #ffffff; font-size: 0.85rem;
}
.slider input { width: 100%; margin: 0.6rem 0 0; accent-color: var(--accent); }
@media (prefers-color-scheme: dark) {
  /* The colours of curves stay, the white around them becomes the page's. */
  img.drawing { filter: invert(0.91) hue-rotate(180deg); border-color: transparent; }
}
"""


def page(results: Results, pictures: Mapping[str, bytes], slides: Slides) -> str:
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
        "<h2>Before and after</h2>",
        _slider(results, slides),
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
        '<p class="soft">A star marks the best of a column; a click on its title sorts by it.</p>',
        _table(learning),
        _figure(
            pictures["likelihood.png"],
            "Mean log-likelihood of the training patches after each iteration of EM.",
            "drawing",
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
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(table: Table) -> str:
    """Return a table under its title, in a box that scrolls on narrow screens."""
    head = "".join(
        f'<th scope="col"><button type="button">{escape(column)}</button></th>'
        for column in (table.corner, *table.columns)
    )
    lines = [
        f'<tr><th scope="row" data-value="{escape(name)}">{escape(name)}</th>'
        + "".join(_cell(table, column, row) for column in table.columns)
        + "</tr>"
        for row, name in enumerate(table.rows)
    ]
    return (
        f'<section><h3>{escape(table.title)}</h3><p class="soft">{escape(table.note)}</p>'
        '<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _cell(table: Table, column: str, row: int) -> str:
    """Return a cell, marked if it is the best of its column, with the value to sort it by."""
    mark = ' class="best"' if (column, row) in table.best else ""
    text = table.columns[column][row]
    value = table.values.get(column, {}).get(row, text)
    return f'<td{mark} data-value="{escape(str(value))}">{escape(text)}</td>'


def _slider(results: Results, slides: Slides) -> str:
    """Return the noisy image under a denoised one, and what chooses them and moves the border."""
    levels = list(slides)
    start = levels[len(levels) // 2]
    best = max(results["models"], key=lambda name: _psnr(results, start, name))
    hidden = "".join(
        f'<img alt="{escape(_describe(results, level, name))}" data-level="{level:g}" '
        f'data-model="{escape(name)}" src="{_data(png)}">'
        for level in levels
        for name, png in slides[level].items()
    )
    return (
        '<figure class="slider"><div class="controls">'
        f"<label>Noise {_select([f'{level:g}' for level in levels], f'{start:g}')}</label>"
        f"<label>Model {_select(list(results['models']), best)}</label>"
        f"<output>{escape(_describe(results, start, best))}</output></div>"
        f'<div class="pair"><img class="before" alt="noisy" src="{_data(slides[start][""])}">'
        f'<img class="after" alt="{escape(best)}" src="{_data(slides[start][best])}">'
        '<span style="left: 0.5rem">noisy</span><span style="right: 0.5rem">denoised</span></div>'
        '<input type="range" min="0" max="100" step="any" value="50" '
        'aria-label="border between noisy and denoised">'
        f"<div hidden>{hidden}</div>"
        f"<figcaption>A part of {escape(results['settings']['pictured'])}, a test image; the PSNR "
        "is that of the whole image.</figcaption></figure>"
    )


def _select(values: list[str], chosen: str) -> str:
    options = "".join(
        f"<option{' selected' if value == chosen else ''}>{escape(value)}</option>"
        for value in values
    )
    return f"<select>{options}</select>"


def _describe(results: Results, level: float, name: str) -> str:
    return f"{name or 'noisy'}: {_psnr(results, level, name):.2f} dB"


def _psnr(results: Results, level: float, name: str) -> float:
    """Return the PSNR of the image that is pictured; a name of "" stands for the noisy one."""
    settings = results["settings"]
    figures = results["models"][name]["denoising"]["mean"] if name else results["noisy"]
    image = settings["test"].index(settings["pictured"])
    decibels: float = figures["psnr_per_image"][settings["noise_levels"].index(level)][image]
    return decibels


def _figure(png: bytes, caption: str, kind: str = "photographs") -> str:
    """Return a picture with its data inside, in a box that scrolls on narrow screens."""
    text = escape(caption)
    return (
        f'<figure><div class="scroll" tabindex="0"><img class="{kind}" alt="{text}" '
        f'src="{_data(png)}"></div><figcaption>{text}</figcaption></figure>'
    )


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
