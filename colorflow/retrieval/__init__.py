"""Retrieval of reference patches (RAP): encoders, retrievers and the settings that choose among them."""
