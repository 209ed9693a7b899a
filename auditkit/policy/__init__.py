"""The policy room: takes a policy file, gives a checked `Policy` whose every error names file, line and column.

`load.load(path)` is the door. `schema` holds the types, `predicate` the row filters, `bins` the labels of groups,
`measures` the names that rules may judge, `frameworks` the dated legal rule sets, `jsonschema` and `starter` what an
author's editor and first hour need. Importing the room loads neither torch nor pandas nor duckdb.
"""
