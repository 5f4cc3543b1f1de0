"""What tests are made of: small models, comics, benchmarks, runs and ranks."""
