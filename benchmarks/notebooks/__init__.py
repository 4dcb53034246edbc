"""A notebook's first cells with each library, and the process that times them."""
