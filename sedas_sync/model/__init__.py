"""Values: what a catalogue lists, what is on disk, orders, actions and events."""
