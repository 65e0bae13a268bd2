"""The recipe of `src/promptd/models/words.npz`."""
