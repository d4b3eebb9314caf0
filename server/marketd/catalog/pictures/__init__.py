"""The pictures of products: what sellers add, remove and put into order, and what the server fetches from elsewhere."""
