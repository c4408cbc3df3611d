"""The handlers of control commands, one module for each family."""
