"""Other methods behind one protocol (``colorflow.schema.Colorizer``), each with its own rows of a table."""
