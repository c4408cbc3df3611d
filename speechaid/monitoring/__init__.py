"""What the daemon observes about itself, and the alerts computed from it."""
