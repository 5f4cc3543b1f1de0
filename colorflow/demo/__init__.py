"""``python -m colorflow.demo``: the pipeline in a browser, on this computer; ``page`` alone knows Gradio."""
