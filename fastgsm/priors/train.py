"""Keep the older command for training the bundled priors: see `fastgsm.study.train_priors`."""

from fastgsm.study.train_priors import main

if __name__ == "__main__":
    raise SystemExit(main())
