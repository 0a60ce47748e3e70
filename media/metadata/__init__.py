"""What a photo or video says of its own making, read from its bytes without decoding the picture; no Pillow."""
