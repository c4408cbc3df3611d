"""The page for the people who run campaigns: screens made on the server, beside the API (docs/page.md)."""
