"""``speechaid demo``: a sample campaign against a Retell simulator, without an account or a database."""
