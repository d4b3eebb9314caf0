"""The pictures of the demo's shops, drawn of simple shapes: the same words give the same picture."""
