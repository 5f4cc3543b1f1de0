"""Input styles: how a colour page becomes the black-and-white query it is trained or tested with."""
