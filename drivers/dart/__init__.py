"""DART: the pump interface of Wayne, Mepsan (MKR-5), Europump S4 and several clones; see docs/protocols/dart.md."""
