"""The study as one HTML file that needs nothing else: pictures, style and script are inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files

from fastgsm.study.tables import Table, protocol, tables
from fastgsm.study.verdict import Results

HEADLINES = 2  # findings shown next to the first: the best likelihood, and a reason

STYLE, SCRIPT = (
    "\n" + files("fastgsm.study").joinpath(name).read_text(encoding="utf-8")
    for name in ("page.css", "page.js")
)

# The policy forbids the browser to fetch anything, and to run any script but our own. So the name
# of an image or a model can do no harm.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'"
)

Slides = Mapping[float, Mapping[str, bytes]]  # PNG files by noise level and model, "" for noisy


PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastgsm: models of image patches compared</title>
<style>{style}</style>
</head>
<body>
<header><h1>{count} models of image patches</h1>
<p class="soft">How well they explain patches and denoise images, measured by fastgsm {version} in \
{seconds:.0f} seconds.</p></header>
<div class="verdict"><p class="first">{first}</p>{main}
</div>
<h2>Before and after</h2>
{slider}
<h2>Denoised</h2>
{denoised}
<h2>In detail</h2>
<ul>{details}</ul>
<h2>Figures</h2>
<p class="soft">A star marks the best of a column. Click a title to sort by it.</p>
{learning}
{likelihood}
{tables}
<h2>How it was measured</h2>
{protocol}
<script>{script}</script>
</body>
</html>
"""


def page(results: Results, pictures: Mapping[str, bytes], slides: Slides) -> str:
    """Return the report as HTML; ``pictures`` holds denoised.png and likelihood.png."""
    n_models = len(results["models"])
    first, *others = map(escape, results["verdict"])
    learning, *rest = map(_table, tables(results))
    return PAGE.format(
        policy=POLICY,
        style=STYLE,
        count="Five" if n_models == 5 else n_models,
        version=escape(results["versions"]["fastgsm"]),
        seconds=results["seconds"],
        first=first,
        main="".join(f"\n<p>{finding}</p>" for finding in others[:HEADLINES]),
        slider=_slider(results, slides),
        denoised=_figure(
            pictures["denoised.png"],
            f"A part of {results['settings']['pictured']}, a test image. Each row is a noise level "
            "(standard deviation, for grey values from 0 to 1). The PSNR is that of the whole "
            "image, the best of a row in bold. Patches are averaged.",
        ),
        details="".join(f"<li>{finding}</li>" for finding in others[HEADLINES:]),
        learning=learning,
        likelihood=_figure(
            pictures["likelihood.png"],
            "Mean log-likelihood of the training patches after each iteration of EM.",
            "drawing",
        ),
        tables="\n".join(rest),
        protocol="\n".join(f'<p class="soft">{escape(line)}</p>' for line in protocol(results)),
        script=SCRIPT,
    )


def _table(table: Table) -> str:
    """Return a table and its title, in a box that scrolls on narrow screens."""
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
    """Return a cell with the value to sort it by, marked if it is the best of its column."""
    mark = ' class="best"' if (column, row) in table.best else ""
    text = table.columns[column][row]
    value = table.values.get(column, {}).get(row, text)
    return f'<td{mark} data-value="{escape(str(value))}">{escape(text)}</td>'


def _slider(results: Results, slides: Slides) -> str:
    """Return a noisy image under a denoised one, and controls for both and for the border."""
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
    marks = {chosen: " selected"}
    options = (f"<option{marks.get(value, '')}>{escape(value)}</option>" for value in values)
    return f"<select>{''.join(options)}</select>"


def _describe(results: Results, level: float, name: str) -> str:
    return f"{name or 'noisy'}: {_psnr(results, level, name):.2f} dB"


def _psnr(results: Results, level: float, name: str) -> float:
    """Return the PSNR of the pictured image; the name "" stands for the noisy one."""
    settings = results["settings"]
    figures = results["models"][name]["denoising"]["mean"] if name else results["noisy"]
    image = settings["test"].index(settings["pictured"])
    return figures["psnr_per_image"][settings["noise_levels"].index(level)][image]


def _figure(png: bytes, caption: str, kind: str = "photographs") -> str:
    """Return a figure that contains its picture, in a box that scrolls on narrow screens."""
    text = escape(caption)
    return (
        f'<figure><div class="scroll" tabindex="0"><img class="{kind}" alt="{text}" '
        f'src="{_data(png)}"></div><figcaption>{text}</figcaption></figure>'
    )


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
