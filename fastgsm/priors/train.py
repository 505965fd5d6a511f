"""The bundled priors are trained in `fastgsm.study.train_priors`; this keeps the older command."""

from fastgsm.study.train_priors import main

if __name__ == "__main__":
    raise SystemExit(main())
