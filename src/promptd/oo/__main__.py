"""`python -m promptd.oo` is the same as `oo`."""

from promptd.oo import main

if __name__ == "__main__":
    main()
