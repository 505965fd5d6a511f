"""The study's figures as tables, and the whole study as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from textwrap import fill

from fastgsm.study.verdict import Results, contrasts, held_out, seconds

AGGREGATIONS = {
    "mean": "a pixel is the average over all patches that cover it",
    "center": "a pixel comes from the one patch that is centred on it",
}

Best = Callable[[Sequence[float]], float]  # max or min


@dataclass
class Table:
    """A table ready to print: texts by column and row, and which ones are best in their column.

    ``values`` holds the numbers behind the texts; ``corner`` is the title of the first column.
    """

    title: str
    note: str
    rows: list[str]
    corner: str = "model"
    columns: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    best: set[tuple[str, int]] = field(default_factory=set)

    def add(
        self,
        column: str,
        values: Sequence[float],
        form: str | Callable[[float], str],
        best: Best | None = None,
    ) -> None:
        """Add a column for the last ``len(values)`` rows, and mark its ``best``."""
        texts = [form.format(value) if isinstance(form, str) else form(value) for value in values]
        blank = len(self.rows) - len(texts)
        self.columns[column] = [""] * blank + texts
        self.values[column] = dict(enumerate(values, blank))
        if best is not None:
            self.best.add((column, blank + list(values).index(best(values))))


def tables(results: Results) -> list[Table]:
    """Return every table of the study, in order."""
    figures = product(("psnr", "mse"), AGGREGATIONS)
    every = [_learning(results), *(_denoising(results, *figure) for figure in figures)]
    return [*every, _ingredients(results)] if contrasts(results) else every


def text(results: Results) -> str:
    """Return the whole study as plain text; a star marks the best entry of a column."""
    blocks = [
        "\n".join(fill(line, 100, subsequent_indent="  ") for line in protocol(results)),
        *(_aligned(table) for table in tables(results)),
        "\n".join(
            ["Verdict", *(fill(found, 100, initial_indent="- ", subsequent_indent="  ")
                          for found in results["verdict"])]
        ),
    ]  # fmt: skip
    return "\n\n".join(blocks)


def protocol(results: Results) -> list[str]:
    """Return lines that say which images and settings were used, and on which machine."""
    settings, machine, versions = results["settings"], results["machine"], results["versions"]
    train, test = settings["train"], settings["test"]
    return [
        f"Images: {settings['images']}, {len(train) + len(test)} of them, grey, in [0, 1]. In the "
        "order of their names, every second one is for training, the others for testing.",
        f"Train ({len(train)}): {', '.join(train)}",
        f"Test ({len(test)}): {', '.join(test)}",
        f"Models learn from the same {settings['n_patches']:,} patches of {settings['patch_size']}x"
        f"{settings['patch_size']} pixels, each without its mean. Likelihoods are measured on "
        f"as many patches of the test images. {settings['dtype']}, seed {settings['seed']}.",
        f"Machine: {machine['processor']}, {machine['threads']} threads; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + ". Everything ran once before it was timed, so that no time includes compiling.",
    ]


def _learning(results: Results) -> Table:
    models = results["models"]
    fits = list(models.values())
    table = Table("Learning", "Log-likelihoods are means per patch, in nats.", list(models))
    table.add("time", [fit["fit_seconds"] for fit in fits], seconds, min)
    table.add("EM iterations", [fit["n_iter"] for fit in fits], "{}")
    table.columns["converged"] = ["yes" if fit["converged"] else "no" for fit in fits]
    table.add("training patches", [fit["log_likelihood_train"] for fit in fits], "{:.2f}")
    table.add("held-out patches", [held_out(results, name) for name in models], "{:.2f}", max)
    return table


def _denoising(results: Results, figure: str, aggregation: str) -> Table:
    """Return the table of "psnr" or "mse" at each noise level; the noisy image is its first row."""
    fits = [fit["denoising"][aggregation] for fit in results["models"].values()]
    title, note = f'Denoising, aggregation "{aggregation}"', "Means over the test images"
    table = Table(f"{title}: MSE", f"{note}.", ["noisy image", *results["models"]])
    form, best = "{:.3e}", min
    if figure == "psnr":
        table.title = f"{title}: PSNR in dB"
        table.note = f"Here {AGGREGATIONS[aggregation]}. {note}; times are per image."
        table.add("time", [fit["seconds_per_image"] for fit in fits], seconds, min)
        form, best = "{:.2f}", max
    for i, level in enumerate(results["settings"]["noise_levels"]):
        column = f"noise {level:g}"
        table.add(column, [fit[figure][i] for fit in fits], form, best)
        table.columns[column][0] = form.format(results["noisy"][figure][i])
    return table


def _ingredients(results: Results) -> Table:
    found = contrasts(results)
    table = Table(
        "What each ingredient brings",
        "Gain of a model with the ingredient over one without: PSNR in dB (averaged patches), and "
        "log-likelihood per held-out patch in nats.",
        [f"{c['with']} over {c['without']}" for c in found],
        "models",
    )
    table.columns["ingredient"] = [c["ingredient"] for c in found]
    for i, level in enumerate(results["settings"]["noise_levels"]):
        table.add(f"noise {level:g}", [c["psnr"][i] for c in found], "{:+.2f}")
    table.add("held-out", [c["log_likelihood"] for c in found], "{:+.2f}")
    return table


def _aligned(table: Table) -> str:
    """Return a table as text: the first column flush left, the others flush right."""
    width = max(map(len, table.rows))
    lines = [" " * width, *(row.ljust(width) for row in table.rows)]
    for column, cells in table.columns.items():
        marked = [
            cell + ("*" if (column, row) in table.best else " ") for row, cell in enumerate(cells)
        ]
        entries = [column + " ", *marked]
        space = max(map(len, entries)) + 2
        lines = [line + entry.rjust(space) for line, entry in zip(lines, entries, strict=True)]
    return "\n".join([table.title, fill(table.note, 100), *(line.rstrip() for line in lines)])
