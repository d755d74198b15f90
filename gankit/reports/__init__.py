"""Reports on runs: summary, diagnosis, comparison, curves and samples."""
