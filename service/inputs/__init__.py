"""Bytes to pixels: one file per kind of body. It knows bytes and arrays, and nothing of HTTP; decoder.py is the door.

Every decoder is a generator of uint8 (k, 28, 28) pieces, each about a millisecond of work, so that whoever iterates
over a big body can let other requests pass between two pieces. A decoder raises BadRequest 400, InvalidValue 422 or
PayloadTooLarge 413, with a sentence that names the place.
"""
