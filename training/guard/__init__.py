"""The whole recipe of the built-in guard classifier: texts of our own, training, figures."""
