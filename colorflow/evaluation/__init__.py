"""The benchmark harness: generate, score, report (``run.evaluate`` chains them)."""
