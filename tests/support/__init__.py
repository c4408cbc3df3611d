"""The harness that tests share: servers, fakes, machines, stories."""
