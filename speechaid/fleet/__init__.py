"""Processes: the zygote that forks workers, the channel to each, signals, systemd."""
