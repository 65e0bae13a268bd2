"""The whole recipe of the built-in demonstration model: text generator, split, tokenizer, training, export, check."""
