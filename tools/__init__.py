"""Programs that write files of this repository; no runtime code."""
