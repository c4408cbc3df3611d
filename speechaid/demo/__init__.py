"""A first run without anything: simulator, sample campaign."""
