"""speechctl: the operators' command line; of speechaid it imports ``protocol`` only."""
