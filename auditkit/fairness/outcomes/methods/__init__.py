"""One metric of an outcome a file; `registry.METHODS` lists them with formula, source and meaning."""
