"""From bytes to pixels: one file per media type; decoder.py is the only way in for the protocols.

Every decoder takes the body and the largest number of digits, and yields arrays uint8 (k, 28, 28), each about 1 ms of
work, so that the event loop can serve other requests between two of them. A decoder raises BadRequest (400),
InvalidValue (422) or PayloadTooLarge (413), with a sentence that names the place.
"""
