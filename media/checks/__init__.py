"""The checks of a photo or video: pure rules over what a file says and what was claimed of it."""
