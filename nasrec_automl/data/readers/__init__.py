"""One reader per source of raw files: each gives chunks of checked rows in bounded memory and keeps bad rows aside."""
