"""webdataset shards: their samples, index, plan, growth, building and report."""
