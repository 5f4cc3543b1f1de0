"""Runs ``python -m colorflow.demo``."""

import os
import sys

# Before any library that reads them is imported: nothing here may ask the network, or tell it anything.
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", GRADIO_ANALYTICS_ENABLED="False")

from colorflow.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
