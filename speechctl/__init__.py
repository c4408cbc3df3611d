"""speechctl: the operator's command line; of speechaid it knows the protocol module alone."""
