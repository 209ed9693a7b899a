"""One file per remedy: what it would do otherwise, or why there is nothing to try."""
