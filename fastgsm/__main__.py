"""`python -m fastgsm` is the command `fastgsm`."""

from fastgsm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
