"""`python -m nasrec_automl` is `nasrec-automl`."""

from nasrec_automl.cli import main

if __name__ == "__main__":
    main()
