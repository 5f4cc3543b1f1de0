"""nn.Modules: guider, LoRA injection, bases, image encoders; composed of diffusers' and peft's own classes."""
