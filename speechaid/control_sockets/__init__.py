"""The sockets of control: the unix socket's clients, and the process that relays those of TCP."""
