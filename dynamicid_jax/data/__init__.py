"""From photographs to batches: preparation, the dataset on disk, and the loader."""
