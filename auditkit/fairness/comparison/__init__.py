"""Several models or versions on the same evaluation records, paired: what changes for whom, and how sure that is."""
