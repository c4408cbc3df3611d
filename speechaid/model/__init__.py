"""The domain model: statuses, and records read leniently from documents."""
