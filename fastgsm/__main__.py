"""Run the command `fastgsm` as `python -m fastgsm`."""

from fastgsm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
