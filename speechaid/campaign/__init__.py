"""Files to batches and jobs; figures to reports."""
