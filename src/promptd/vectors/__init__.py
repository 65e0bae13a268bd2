"""Texts as numbers: what the built-in guard and the built-in intent matcher judge by. numpy is imported on first use."""

import os

# What is multiplied here is small. numpy's BLAS would put a thread on every core for it, and these wait for each other by
# turning: beside other work that takes ten times as long. It reads the variable once, when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
