"""What is audited: data files become a `Table`, the policy's model becomes a `Subject`, both give `Predictions`.

Takes the policy and its files; gives the types of `types`, which every assessing room reads. `table` reads and checks
the files, `open` brings the model through one of `adapters`, `predict` asks it once, `slices` freezes the policy's row
filters on the answers, `training` makes a tabular model.

Why so: all complaints about data are collected and raised at once; nothing is guessed that the file does not say (ids
stay text, only the empty cell and the texts that the policy states are missing); what is merely odd is counted in
`Check`s. Reading tables loads no torch, so that an audit of recorded decisions stays light.
"""
