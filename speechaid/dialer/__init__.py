"""One job from claim to settlement, in a worker process."""
