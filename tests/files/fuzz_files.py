"""Read mutated model and image files; each is read or refused, in bounded time and memory.

Run it from the top of the repository, with as many files as you like::

    python -m tests.files.fuzz_files --count 10000

These are failures: an error other than `ValueError` or `OSError`, a message of several lines or
without the file's name, NaN in a result, and an allocation beyond the bound. The file is then named
and kept, and the exit status is 1. A crash or a hang ends the run, and the last file caused it.
Linux only. Output of the image decoders themselves goes to standard error.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import fastgsm
from fastgsm.io import read_pages
from tests.helpers import new_models

MAX_SECONDS = 20  # for one file; the slowest needs a hundredth of it
MAX_GROWTH = 2**30  # bytes of address space on top of those for reading the seeds
MAX_PIXELS = 2**24  # twice four 16-bit channels with so many pixels are below MAX_GROWTH
MAX_MESSAGE = 600  # characters, including the path

# Numbers that replace sizes and offsets.
EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**20, 2**31 - 1, 2**31, 2**32 - 1]
EXTREMES += [2**40, 2**62, 2**63, 2**64 - 1]

# Words in NumPy's array headers and in the models' JSON, and their replacements.
WORDS = {
    b"<f8": [b"|O8", b"<f2", b"|u1", b"<c8", b"|V0", b"<U0", b"<M8", b">f8"],
    b"|u1": [b"|O8", b"|V0", b"|b1", b"|S0", b"|i1"],
    b"(1, ": [b"(0, ", b"(-1, ", b"(99999999999, ", b"(1, 1, "],
    b"(24, ": [b"(0, ", b"(-24, ", b"(24000000000000, "],
    b"False": [b"True", b"None", b"0"],
    b'"version": 1': [b'"version": 2', b'"version": 0', b'"version": null', b'"version": []'],
    b'"converged"': [b'"con"', b'"model"'],
    b'"lower_bounds": [': [b'"lower_bounds": [NaN, ', b'"lower_bounds": [[], ', b'"lower": ['],
    b'"options": {': [b'"options": {"tol": NaN, ', b'"options": {"verbose": {}, ', b'"options": ['],
    b"0": [b"1e999", b"-1", b"9" * 30, b"true", b'"0"'],
}


def models() -> dict[str, bytes]:
    """Return a small file of every model."""
    X = np.random.default_rng(0).standard_t(4, (200, 4))
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in new_models(2, tol=0.1, random_state=0).items():
            path = Path(folder, f"{name}.npz")
            model.fit(X).save(path)
            files[path.name] = path.read_bytes()
    return files


def images() -> dict[str, bytes]:
    """Return a small file of every kind of image that can be read."""
    import tifffile
    from PIL import Image

    colour = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    grey, deep = colour[..., 0].copy(), colour.astype(np.uint16) * 257
    files: dict[str, bytes] = {}

    def add(name: str, write: Callable[[BytesIO], Any]) -> None:
        file = BytesIO()
        write(file)
        files[name] = file.getvalue()

    def add_pillow(name: str, picture: Any, format_: str, **options: Any) -> None:
        add(name, lambda file: picture.save(file, format_, **options))

    picture = Image.fromarray(colour)
    exif = Image.Exif()
    exif[274] = 6
    add_pillow("grey.png", Image.fromarray(grey), "PNG")
    add_pillow("colour.png", picture, "PNG", exif=exif, icc_profile=b"profile" * 9)
    add_pillow("palette.png", picture.quantize(8), "PNG", transparency=1)
    add_pillow("bits.png", Image.fromarray(grey > 99), "PNG")
    add_pillow("grey.jpg", Image.fromarray(grey), "JPEG")
    add_pillow("colour.jpg", picture, "JPEG", exif=exif, icc_profile=b"profile" * 9)
    add_pillow("progressive.jpg", picture, "JPEG", progressive=True, quality=95)
    for compression in ("tiff_lzw", "jpeg", "packbits"):
        add_pillow(f"{compression}.tif", picture, "TIFF", compression=compression)
    add_pillow("fax.tif", Image.fromarray(grey > 99), "TIFF", compression="group4")
    tiffs: dict[str, dict[str, Any]] = {
        "grey": {"data": grey},
        "deep": {"data": deep, "photometric": "rgb"},
        "float": {"data": grey / np.float32(255), "byteorder": ">"},
        "zlib": {"data": colour, "photometric": "rgb", "compression": "zlib"},
        "tiled": {"data": colour, "photometric": "rgb", "tile": (16, 16), "compression": "zlib"},
        "big": {"data": grey, "bigtiff": True},
        "imagej": {"data": grey, "imagej": True},
        "ome": {"data": grey, "ome": True},
        "lzw16": {"data": deep, "photometric": "rgb", "compression": "lzw", "predictor": True},
        "zstd": {"data": grey / np.float32(255), "compression": "zstd"},
        "jp2": {"data": colour, "photometric": "rgb", "compression": "jpeg2000"},
        "nodata": {"data": grey, "extratags": [(42113, 2, None, "0", True)]},
        "ycbcr": {"data": colour, "photometric": "ycbcr"},
        "nir": {"data": np.dstack([colour, grey]), "photometric": "rgb", "extrasamples": [0]},
    }
    for name, options in tiffs.items():
        add(f"{name}.tif", lambda file, options=options: tifffile.imwrite(file, **options))
    add("mask.tif", lambda file: write_masked(file, grey))
    for name, stored in (("grey", grey), ("deep", deep), ("float", grey / 255)):
        add(f"{name}.npy", lambda file, stored=stored: np.save(file, stored))
    for name, stored in (("deep", deep), ("greydeep", deep[..., 0])):
        add(
            f"{name}.png",
            lambda file, stored=stored: fastgsm.files.png16.write(file, stored, None, b""),
        )
    return files


def write_masked(file: BytesIO, image: np.ndarray) -> None:
    """Write a TIFF with a mask page."""
    import tifffile

    with tifffile.TiffWriter(file) as writer:
        writer.write(image, metadata=None)
        writer.write(image > 99, photometric="mask", subfiletype=4, metadata=None)


# --- mutations ----------------------------------------------------------------------------


def mutated(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Return ``content`` with one to four changes of the kinds below."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        change = CHANGES[rng.integers(len(CHANGES))]
        change(data, others, rng)
    return bytes(data)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Return a place in ``data``, half of the time near the start, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 200)
    return int(rng.integers(end)) if end else 0


def _flip_a_bit(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    data[place : place + 1] = bytes(byte ^ (1 << rng.integers(8)) for byte in data[place:][:1])


def _change_a_byte(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    data[place : place + 1] = rng.bytes(1)


def _put_an_extreme(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    size = int(rng.choice([1, 2, 4, 8]))
    number = EXTREMES[rng.integers(len(EXTREMES))] % 2 ** (8 * size)
    place = _place(data, rng)
    data[place : place + size] = number.to_bytes(size, "big" if rng.random() < 0.5 else "little")


def _truncate(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    del data[place : place + int(rng.integers(1, 40))]


def _repeat(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    data[place:place] = data[place : place + int(rng.integers(1, 40))] * int(rng.integers(1, 9))


def _splice(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    other = others[rng.integers(len(others))]
    place = _place(data, rng)
    data[place:] = other[place:]


def _swap_a_word(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    words = [word for word in WORDS if word in data]
    if words:
        word = words[rng.integers(len(words))]
        choices = WORDS[word]
        data[:] = data.replace(word, choices[rng.integers(len(choices))], 1)


CHANGES = [_flip_a_bit, _change_a_byte, _put_an_extreme, _truncate, _remove, _repeat, _splice]
CHANGES += [_swap_a_word] * 3


def mutated_model(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Damage a model: the archive, or one of its entries with checksum and size corrected."""
    if rng.random() < 0.3:
        return mutated(content, others, rng)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    chosen = rng.integers(len(entries))
    compression = zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED
    file = BytesIO()
    contents = [entry for _, entry in entries]
    with zipfile.ZipFile(file, "w") as archive:
        for i, (name, entry) in enumerate(entries):
            damaged = mutated(entry, contents, rng) if i == chosen else entry
            # An entry by name alone would hold the time: other bytes in every run.
            archive.writestr(zipfile.ZipInfo(name), damaged, compression)
        if rng.random() < 0.1:
            archive.writestr(zipfile.ZipInfo(entries[0][0]), contents[0], compression)
    return file.getvalue()


def mutated_image(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Damage an image; for a PNG, half of the time, the checksums are corrected."""
    data = mutated(content, others, rng)
    is_png = data.startswith(b"\x89PNG")
    return _with_right_checksums(data) if is_png and rng.random() < 0.5 else data


def _with_right_checksums(png: bytes) -> bytes:
    data, place = bytearray(png), 8
    while place + 12 <= len(data):
        end = place + 8 + struct.unpack_from(">I", data, place)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(data)


# --- reading ------------------------------------------------------------------------------


def read(path: Path) -> str:
    """Read one file and return the outcome."""
    try:
        if path.suffix == ".npz":
            model = fastgsm.load(path)
            assert np.isfinite(model.sample(3, 0)[0]).all(), "a model that draws NaN or infinity"
            assert np.isfinite(model.lower_bound_), "a model whose likelihood is not finite"
        else:
            for page in read_pages(path, max_pixels=MAX_PIXELS):
                assert page.stored.dtype.kind in "iuf", f"pixels of type {page.stored.dtype}"
    except (ValueError, OSError) as error:
        message = str(error)
        assert "\n" not in message, "a message of several lines"
        assert len(message) <= MAX_MESSAGE, "a message without end"
        assert path.name in message, "a message that does not name the file"
        return "refused"
    return "read"


def fuzz(count: int, seed: int, folder: Path) -> tuple[int, str]:
    """Read ``count`` mutated files, half of them models; return the failures and a summary."""
    seeds = [
        (mutated_model, models()),
        (mutated_image, images()),
    ]
    for _, files in seeds:
        for name, content in files.items():
            (folder / name).write_bytes(content)
            assert read(folder / name) == "read", name
            (folder / name).unlink()
    start, slowest, failures, outcomes = _peak(), 0.0, 0, Counter[str]()
    _limit_address_space(MAX_GROWTH)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        mutate, files = seeds[i % 2]
        name = list(files)[rng.integers(len(files))]
        path = folder / f"{i}-{name}"
        path.write_bytes(mutate(files[name], list(files.values()), rng))
        faulthandler.dump_traceback_later(MAX_SECONDS, exit=True)
        began = time.perf_counter()
        try:
            outcome = read(path)
        except Exception as error:
            outcome = "failed"
            print(f"{path}: {type(error).__name__}: {error}")
            failures += 1
        outcomes[f"{path.suffix} {outcome}"] += 1
        slowest = max(slowest, time.perf_counter() - began)
        faulthandler.cancel_dump_traceback_later()
        if outcome != "failed":
            path.unlink()
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    growth = (_peak() - start) >> 20
    report = f"{count} files: {counts}; slowest {slowest:.2f} s, memory +{growth} MiB at its peak"
    return failures, report


def _peak() -> int:
    """Return the peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux gives KiB


def _limit_address_space(growth: int) -> None:
    """Make allocations far above the present use fail with a `MemoryError`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + growth
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="files to read")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other files for another")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-files"), help="where they go")
    args = parser.parse_args()
    args.folder.mkdir(exist_ok=True)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # as the command line does
    failures, report = fuzz(args.count, args.seed, args.folder)
    print(report)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
