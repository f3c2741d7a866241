"""Which filter wins at full size, and how good it will be: a forecast from small runs, with its uncertainty.

Three pieces of evidence, each usable alone: a law of error fitted to the runs (`fit_law`), how published filters kept
their places from scale to scale (`transfer`), and the spread over seeds (`noise`).
"""
