"""One file per way to fit and invert the curvature: a frozen dataclass of settings with `fit(problem)`."""
