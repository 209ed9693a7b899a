"""Attribution of training tables that are larger than memory: Parquet in, score shards out, resumable.

- door: `attribute_table` · running: one run, from settings to result · joining: several processes at one table
- tables: Parquet files as one table, checked, digested, read in parts whose bounds no row group decides
- encoding: from a part to checked tensors · sampling: the stated subsample · fitting: how far scores rest on it
- streamed: the problem whose rows are read again for every pass · scorer: scores of one part
- passing: one pass over the table, shard by shard · sheets: score shards, whole or not at all
- tally: what is kept in memory of all scores · folder: the key of a run · outcome: what a run says
"""
