"""`python -m promptd` is the same as `promptd`."""

from promptd.cli import main

if __name__ == "__main__":
    main()
