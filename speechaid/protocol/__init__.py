"""The control protocol of daemon and clients: all that ``speechctl`` may import. Standard library only."""
