"""How well real noise is removed when nothing is told about it.

    python -m benchmarks.quality --data DIR --real --only cc15 --preset balanced --json real.json

DIR (default: the environment variable FASTGSM_DATA) holds these folders. Pairs of images have equal
names in the subfolders `noisy` and `clean`.

- `cc15`, `polyu`: crops of photographs with the noise of a camera, in colour, 8 bits.
- `w2s`: fluorescence micrographs, grey, 8 bits, each stretched on its own. PSNR is measured after
  the least-squares fit a x + b onto the clean frame.
- `kodak24`: clean photographs, which should stay as they are (--only clean).
- `bsd68`: gets noise here: white, or blurred by a Gaussian; the noise of image number i is drawn by
  default_rng(i), and neither clipped nor rounded (--only white, --only blurred).

PSNR has peak 1. Results for images of 8 bits are rounded to 8 bits.

With --rivals opencv bm3d, these restore `cc15` too, at the fixed level that suits them best, and
bm3d the blurred noise, of which it is told the spectrum. With --times N, seconds per megapixel and
the ratio to the same preset that is told its noise are measured, each the shortest of N in turn.

With --write, each measured table replaces its part of docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from fastgsm.study import measure as _study

from . import markdown
from .quality import QUALITIES
from .real_sets import SETS, Settings
from .real_tables import PUBLISHED, Row, clean_table, gain_table, noise_table, white_table

TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "cc15": gain_table,
    "polyu": gain_table,
    "w2s": gain_table,
    "clean": clean_table,
    "white": white_table,
    "blurred": noise_table,
}
# The package of each rival, and the sets that it restores.
RIVALS = {
    "opencv": ("opencv-python-headless", ("cc15",)),
    "bm3d": ("bm3d", ("cc15", "blurred")),
}


def check_whole(settings: Settings, names: Sequence[str]) -> None:
    """Raise an error if these options do not measure whole tables of docs/quality.md."""
    for name in names:
        markdown.read_part(markdown.QUALITY, f"real-{name}")
    if tuple(settings.presets) != QUALITIES or settings.every is not None:
        raise SystemExit(
            "--write replaces whole tables of docs/quality.md. Leave out --preset and --every; or "
            "leave out --write to print the tables."
        )


def write_table(name: str, text: str, settings: Settings) -> None:
    """Replace a table of docs/quality.md."""
    command = f"python -m benchmarks.quality --data DIR --real --only {name}"
    used = [rival for rival in settings.rivals if name in RIVALS[rival][1]]
    if used:
        command += f" --rivals {' '.join(used)}"
    if settings.rounds:
        command += f" --times {settings.rounds}"
    packages = [RIVALS[rival][0] for rival in used]
    origin = markdown.origin(f"{command} --write", "fastgsm", "numpy", "numba", *packages)
    markdown.write_part(markdown.QUALITY, f"real-{name}", f"{text}\n\n{origin}")


def main(argv: Iterable[str] | None = None) -> None:
    """Measure, print Markdown tables and write JSON."""
    args = _parser().parse_args(None if argv is None else list(argv))
    if args.data is None:
        raise SystemExit("give --data DIR, or set FASTGSM_DATA, to a folder with the sets")
    settings = Settings(args.data, args.preset, args.every, args.rivals, args.times, args.crops)
    if args.write:
        check_whole(settings, args.only)
    results: list[Row] = []
    for name in args.only:
        rows = list(SETS[name](settings))
        text = TABLES[name](rows)
        print(f"{name}\n\n{text}\n", flush=True)
        if args.write:
            write_table(name, text, settings)
        results += rows
    if args.json is not None:
        about = {"versions": _study.versions(), "machine": _study.machine()}
        figures = {"rows": [asdict(row) for row in results], "published": PUBLISHED}
        args.json.write_text(json.dumps(about | figures, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality --real",
        description="PSNR of denoising real noise, about which nothing is told.",
    )
    data = os.environ.get("FASTGSM_DATA")
    add = parser.add_argument
    add("--data", type=Path, default=data and Path(data), help="folder of the sets of images")
    add("--only", nargs="+", choices=SETS, default=list(SETS), help="sets (default: all)")
    add("--preset", nargs="+", choices=QUALITIES, default=QUALITIES, help="default: all")
    add("--every", type=int, help="take every N-th image (default: all, for bsd68 every sixth)")
    add("--rivals", nargs="+", choices=RIVALS, default=(), help="also these; bm3d takes an hour")
    add("--times", type=int, default=0, metavar="N", help="measure times, N in turn")
    add("--crops", type=Path, metavar="DIR", help="write crops of real noise into this folder")
    add("--write", action="store_true", help="write tables of docs/quality.md")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return parser


if __name__ == "__main__":
    main()
