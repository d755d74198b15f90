"""Reports on runs: a summary of their files, diagnosis, comparison and curves."""
