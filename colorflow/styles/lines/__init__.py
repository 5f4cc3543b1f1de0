"""Line drawings: the line extractor of the released sketch modes."""
