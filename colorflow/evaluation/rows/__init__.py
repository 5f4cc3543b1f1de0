"""The rows of a table: methods, their pools of references, trainings."""
