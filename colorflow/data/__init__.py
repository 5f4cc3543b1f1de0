"""Comic data: chapter folders, generated chapters, shards, transforms, the data module."""
