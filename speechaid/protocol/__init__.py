"""What daemon and clients exchange; standard library only, and all that ``speechctl`` may import."""
