"""The one I/O shell of a validator: links, storage, clock, HTTP."""
