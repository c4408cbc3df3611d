"""What the words of the trade mean: states, documents read into records, facts."""
