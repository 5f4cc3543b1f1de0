"""The metrics that come with the package, a module each with its ``SPEC``; found by their names, there is no list."""
