"""Photos and videos on the server: uploads, blobs, who may read them, what becomes of them."""
