"""Answering questions: by the health of the sites and the place of the client."""
