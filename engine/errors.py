"""The exceptions the engine raises; their classes are Python's, their causes are Rust's."""


class EngineError(Exception):
    """Something the engine was handed can't be used; the message says what and why."""


class NameSyntaxError(EngineError):
    """A domain name's text or wire form is malformed (RFC 1035 sections 2.3.4 and 5.1)."""


class MessageError(EngineError):
    """Octets that should be a DNS message are not one."""


class ImageError(EngineError):
    """A stored zone image or signature image is torn, foreign or of another format version."""


class SignatureError(EngineError):
    """A signature does not verify, or a signing key does not fit its DNSKEY; never published."""
