"""What each control command does, by family."""
