"""From raw tables to batches: preprocessing, the prepared form on disk, one reader per source."""
