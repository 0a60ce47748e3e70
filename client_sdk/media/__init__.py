"""Photos and videos on the device: attached at once, sent when the network allows, read when asked for."""
