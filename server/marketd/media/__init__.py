"""Pictures: taken in, made into renditions, kept in a store, held by what shows them, and read by whoever may."""
